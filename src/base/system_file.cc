#include "base/system_file.h"

#include <cstdio>

namespace fusee {

std::string ReadSystemFile(const std::string& path) {
  constexpr size_t kEnough = 64 << 10;
  std::string text;
  if (FILE* file = std::fopen(path.c_str(), "re")) {
    char buffer[4096];
    size_t n = 0;
    while (text.size() < kEnough && (n = std::fread(buffer, 1, sizeof(buffer), file)) > 0)
      text.append(buffer, n);
    std::fclose(file);
  }
  return text;
}

}  // namespace fusee
