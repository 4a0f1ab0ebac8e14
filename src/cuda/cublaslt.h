// The functions of cuBLASLt that kernels of this tree call, looked up once in the library that
// cuda/libraries.h opens; the header is used for its types only.
//
// Thread-safe. Errors: kUnavailable when the library or one of its functions is missing.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace fusee::cuda {

struct CublasLt {
  uint64_t version = 0;  // 130100
  decltype(&::cublasLtCreate) create = nullptr;
  decltype(&::cublasLtMatmul) matmul = nullptr;
  // Descriptors live in memory of ours: initialised, copied and forgotten, never created.
  decltype(&::cublasLtMatmulDescInit_internal) desc_init = nullptr;
  decltype(&::cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&::cublasLtMatrixLayoutInit_internal) layout_init = nullptr;
  decltype(&::cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&::cublasLtMatmulPreferenceInit_internal) preference_init = nullptr;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&::cublasLtMatmulAlgoGetIds) algo_ids = nullptr;
  decltype(&::cublasLtMatmulAlgoInit) algo_init = nullptr;
  decltype(&::cublasLtMatmulAlgoCheck) algo_check = nullptr;
  decltype(&::cublasLtMatmulAlgoCapGetAttribute) algo_cap = nullptr;
  decltype(&::cublasLtMatmulAlgoConfigGetAttribute) algo_get = nullptr;
  decltype(&::cublasLtMatmulAlgoConfigSetAttribute) algo_set = nullptr;
};

Result<const CublasLt*> GetCublasLt();

// The process's handle for a GPU, which must be current; made at the first call, never destroyed.
Result<cublasLtHandle_t> CublasLtHandle(int ordinal);

// ok, or the call with the library's code and, where CUDA has one, its own error (a sticky one is
// kAborted).
Status ToStatus(cublasStatus_t status, std::string_view call);

}  // namespace fusee::cuda

#define FUSEE_CUBLASLT_TRY(call)                                                           \
  do {                                                                                     \
    if (const cublasStatus_t fusee_status = (call); fusee_status != CUBLAS_STATUS_SUCCESS) \
      return ::fusee::cuda::ToStatus(fusee_status, #call);                                 \
  } while (false)
