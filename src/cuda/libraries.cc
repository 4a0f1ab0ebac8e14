#include "cuda/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <vector>

namespace fusee::cuda {
namespace {

constexpr std::string_view kToolkitFolder = "/usr/local/cuda/lib64";

// The folders of FUSEE_CUDA_LIBRARY_PATH, then the loader's search (an empty folder), then the
// toolkit's.
std::vector<std::string> Folders() {
  std::vector<std::string> folders;
  if (const char* path = std::getenv("FUSEE_CUDA_LIBRARY_PATH"); path != nullptr) {
    std::string_view rest = path;
    while (!rest.empty()) {
      const size_t colon = rest.find(':');
      if (const std::string_view one = rest.substr(0, colon); !one.empty())
        folders.emplace_back(one);
      rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
    }
  }
  folders.emplace_back();
  folders.emplace_back(kToolkitFolder);
  return folders;
}

Result<void*> Open(const std::string& file) {
  std::string tried;
  for (const std::string& folder : Folders()) {
    const std::string path = folder.empty() ? file : folder + "/" + file;
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr)
      return library;
    const char* why = dlerror();
    tried += fmt::format("\n  {}: {}", path, why != nullptr ? why : "unknown error");
  }
  return Unavailable(fmt::format(
      "{} cannot be loaded; install it, or name its folder in FUSEE_CUDA_LIBRARY_PATH; tried:{}",
      file, tried));
}

// The number that a library's version function gives; 0 without library or function.
uint64_t Version(const Result<void*>& library, const char* function) {
  if (!library.ok()) return 0;
  void* const symbol = dlsym(*library, function);
  return symbol == nullptr ? 0 : reinterpret_cast<size_t (*)()>(symbol)();
}

}  // namespace

Result<void*> CublasLtLibrary() {
  static const Result<void*>* const library = new Result<void*>(Open("libcublasLt.so.13"));
  return *library;
}

Result<void*> CudnnLibrary() {
  static const Result<void*>* const library = new Result<void*>(Open("libcudnn.so.9"));
  return *library;
}

Result<void*> CuptiLibrary() {
  static const Result<void*>* const library = new Result<void*>(Open("libcupti.so.13"));
  return *library;
}

uint64_t CublasLtVersion() { return Version(CublasLtLibrary(), "cublasLtGetVersion"); }
uint64_t CudnnVersion() { return Version(CudnnLibrary(), "cudnnGetVersion"); }

Result<void*> FindSymbol(void* library, const char* name) {
  void* const symbol = dlsym(library, name);
  if (symbol == nullptr)
    return Unavailable(
        fmt::format("the library has no function {}: it is too old or of another kind", name));
  return symbol;
}

}  // namespace fusee::cuda
