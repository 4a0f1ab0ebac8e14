// cuBLASLt and cuDNN, looked up at run time: a machine without them still runs every plan that does
// not name them, and this module links neither (541 MB and 245 MB).
//
// Where they are looked for, first hit wins: what FUSEE_CUDA_LIBRARY_PATH lists (colon-separated
// folders, read here, once), the loader's own search, the CUDA toolkit's folder.
#pragma once

#include <string>

#include "base/status.h"

namespace fusee::cuda {

// A handle as dlopen gives it, never closed. Thread-safe; looked up once. Errors: kUnavailable
// naming the library, what was tried and the remedy.
Result<void*> CublasLtLibrary();
Result<void*> CudnnLibrary();
Result<void*> CuptiLibrary();

// Their versions as they report them (130100, 91900); 0 when absent.
uint64_t CublasLtVersion();
uint64_t CudnnVersion();

// A function of a library; kUnavailable when it has none of that name.
Result<void*> FindSymbol(void* library, const char* name);

}  // namespace fusee::cuda
