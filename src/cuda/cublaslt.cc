#include "cuda/cublaslt.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "cuda/error.h"
#include "cuda/libraries.h"

namespace fusee::cuda {
namespace {

template <typename Function>
Status Find(void* library, const char* name, Function* function) {
  FUSEE_TRY(void* symbol, FindSymbol(library, name));
  *function = reinterpret_cast<Function>(symbol);
  return OkStatus();
}

Result<CublasLt> LookUp() {
  FUSEE_TRY(void* library, CublasLtLibrary());
  CublasLt lt;
  lt.version = CublasLtVersion();
  FUSEE_TRY(Find(library, "cublasLtCreate", &lt.create));
  FUSEE_TRY(Find(library, "cublasLtMatmul", &lt.matmul));
  FUSEE_TRY(Find(library, "cublasLtMatmulDescInit_internal", &lt.desc_init));
  FUSEE_TRY(Find(library, "cublasLtMatmulDescSetAttribute", &lt.desc_set));
  FUSEE_TRY(Find(library, "cublasLtMatrixLayoutInit_internal", &lt.layout_init));
  FUSEE_TRY(Find(library, "cublasLtMatrixLayoutSetAttribute", &lt.layout_set));
  FUSEE_TRY(Find(library, "cublasLtMatmulPreferenceInit_internal", &lt.preference_init));
  FUSEE_TRY(Find(library, "cublasLtMatmulPreferenceSetAttribute", &lt.preference_set));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoGetHeuristic", &lt.heuristic));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoGetIds", &lt.algo_ids));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoInit", &lt.algo_init));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoCheck", &lt.algo_check));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoCapGetAttribute", &lt.algo_cap));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoConfigGetAttribute", &lt.algo_get));
  FUSEE_TRY(Find(library, "cublasLtMatmulAlgoConfigSetAttribute", &lt.algo_set));
  return lt;
}

}  // namespace

Result<const CublasLt*> GetCublasLt() {
  static const Result<CublasLt>* const found = new Result<CublasLt>(LookUp());
  if (!found->ok()) return found->status();
  return &**found;
}

Result<cublasLtHandle_t> CublasLtHandle(int ordinal) {
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t>* const handles = new std::map<int, cublasLtHandle_t>();
  FUSEE_TRY(const CublasLt* lt, GetCublasLt());
  const std::lock_guard lock(mutex);
  if (const auto at = handles->find(ordinal); at != handles->end()) return at->second;
  cublasLtHandle_t handle = nullptr;
  FUSEE_CUBLASLT_TRY(lt->create(&handle));
  handles->emplace(ordinal, handle);
  return handle;
}

Status ToStatus(cublasStatus_t status, std::string_view call) {
  if (status == CUBLAS_STATUS_SUCCESS) return OkStatus();
  if (const cudaError_t error = cudaPeekAtLastError(); error != cudaSuccess)
    return ToStatus(error, call);
  const std::string text =
      fmt::format("{}: cuBLASLt answers with status {}", call, static_cast<int>(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED) return ResourceExhausted(text);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return FailedPrecondition(text);
  return Internal(text);
}

}  // namespace fusee::cuda
