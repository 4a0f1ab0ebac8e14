// What the CPU can do, by CPUID and XGETBV, and the ISA levels that tactics and plans name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fusee {

// Levels are ordered: a CPU of one level runs kernels of every lower one. Stored in plans; never
// renumber.
enum class Isa : uint8_t {
  kAvx2 = 1,    // x86-64-v3: AVX2, FMA, F16C. The floor of the product.
  kAvx512 = 2,  // x86-64-v4: AVX-512 F, BW, VL, DQ
  kVnni = 3,    // + AVX512-VNNI, VBMI
  kBf16 = 4,    // + AVX512-BF16
  kAmx = 5,     // + AMX bf16 and int8
};

std::string_view IsaName(Isa isa);  // "avx2", "avx512", "vnni", "bf16", "amx"

struct CpuFeatures {
  bool supported = false;  // at least Isa::kAvx2 and the operating system saves its registers
  Isa isa = Isa::kAvx2;
  std::string brand;  // "AMD EPYC 9454 48-Core Processor"
};

// Read once; thread-safe. FUSEE_MAX_ISA=avx2 in the environment lowers the level (for tests of
// lower paths); it is read here, once, and nowhere else.
const CpuFeatures& HostCpu();

}  // namespace fusee
