#include "worker/library_environment.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

namespace fusee::worker {

bool ChangesBits(std::string_view variable) {
  if (variable == "NVIDIA_TF32_OVERRIDE" || variable == "CUBLAS_WORKSPACE_CONFIG") return true;
  const bool library = variable.starts_with("CUDNN_") || variable.starts_with("CUBLASLT_");
  return library && variable.find("_LOG") == variable.npos;
}

std::vector<std::string> ClearLibraryEnvironment() {
  std::vector<std::string> names;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (ChangesBits(name)) names.emplace_back(name);
  }
  std::ranges::sort(names);
  for (const std::string& name : names) unsetenv(name.c_str());
  return names;
}

}  // namespace fusee::worker
