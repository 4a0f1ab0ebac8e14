#include "device/cpu_features.h"

#include <cpuid.h>

#include <cstdlib>
#include <cstring>

namespace fusee {
namespace {

struct Leaf {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Leaf Cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Leaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

// Register state the operating system saves (XCR0), by XGETBV.
uint64_t SavedStates() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

constexpr bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1u) != 0; }

std::string Brand() {
  if (Cpuid(0x80000000u).a < 0x80000004u) return "unknown x86-64 CPU";
  char text[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Leaf r = Cpuid(0x80000002u + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string brand(text);
  brand.erase(0, brand.find_first_not_of(' '));
  brand.erase(brand.find_last_not_of(' ') + 1);
  return brand;
}

// Bit positions: Intel SDM volume 2A, CPUID.
CpuFeatures Detect() {
  CpuFeatures cpu;
  cpu.brand = Brand();
  const Leaf l1 = Cpuid(1), l7 = Cpuid(7, 0), l7s1 = Cpuid(7, 1), ext = Cpuid(0x80000001u);
  if (!Bit(l1.c, 27)) return cpu;  // OSXSAVE: without it XGETBV does not exist
  const uint64_t saved = SavedStates();
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6,
             tiles = (saved & 0x60000) == 0x60000;
  const bool v3 = ymm && Bit(l1.c, 28) && Bit(l1.c, 12) && Bit(l1.c, 29) && Bit(l1.c, 22) &&
                  Bit(l7.b, 5) && Bit(l7.b, 3) && Bit(l7.b, 8) &&
                  Bit(ext.c, 5);  // AVX FMA F16C MOVBE AVX2 BMI1 BMI2 LZCNT
  cpu.supported = v3;
  if (!v3) return cpu;
  const bool v4 =
      zmm && Bit(l7.b, 16) && Bit(l7.b, 17) && Bit(l7.b, 28) && Bit(l7.b, 30) && Bit(l7.b, 31);
  const bool vnni = v4 && Bit(l7.c, 11) && Bit(l7.c, 1);  // AVX512-VNNI, VBMI
  const bool bf16 = vnni && Bit(l7s1.a, 5);
  const bool amx = bf16 && tiles && Bit(l7.d, 22) && Bit(l7.d, 24) && Bit(l7.d, 25);
  cpu.isa = amx    ? Isa::kAmx
            : bf16 ? Isa::kBf16
            : vnni ? Isa::kVnni
            : v4   ? Isa::kAvx512
                   : Isa::kAvx2;
  if (const char* limit = std::getenv("FUSEE_MAX_ISA")) {
    for (Isa isa : {Isa::kAvx2, Isa::kAvx512, Isa::kVnni, Isa::kBf16}) {
      if (IsaName(isa) == limit && isa < cpu.isa) cpu.isa = isa;
    }
  }
  return cpu;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kVnni: return "vnni";
    case Isa::kBf16: return "bf16";
    case Isa::kAmx: return "amx";
  }
  return "unknown";
}

const CpuFeatures& HostCpu() {
  static const CpuFeatures cpu = Detect();
  return cpu;
}

}  // namespace fusee
