// Files of the kernel (procfs, cgroupfs, sysfs), which report size 0 and so are read, not mapped.
#pragma once

#include <string>

namespace fusee {

// At least the first 64 KiB of the text; empty when the file cannot be read.
std::string ReadSystemFile(const std::string& path);

}  // namespace fusee
