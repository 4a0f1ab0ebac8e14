// Any bytes as a plan. The custom mutator makes the digests right again after each change, so that
// the fuzzer spends its time behind them; one input in eight keeps its wrong digests. Starts from a
// real plan when given an empty input.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "plan/check.h"
#include "plan/container.h"
#include "plan/decode.h"
#include "plan/encode.h"
#include "plan/plan_test_util.h"
#include "plan/print.h"
#include "plan/verify.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace fusee::plan {
namespace {

std::vector<std::byte> Seed(unsigned seed) {
  if (seed % 3 == 0) return Encode(testing::GpuPlan()).value();
  if (seed % 5 == 0) return Encode(testing::CountingPlan()).value();
  return Encode(seed % 2 == 0 ? testing::RichPlan() : testing::SmallPlan(4 + seed % 60)).value();
}

// Changes one section's bytes in place, so that the table stays right.
void MutateSection(std::span<std::byte> file, unsigned seed) {
  auto header = ReadContainerHeader(file, file.size());
  if (!header.ok() || header->sections.empty()) return;
  const SectionInfo& s = header->sections[seed % header->sections.size()];
  if (s.length == 0) return;
  const uint64_t at = (seed / 7) % s.length;
  const auto window = static_cast<size_t>(std::min<uint64_t>(s.length - at, 64));
  LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(file.data() + s.offset + at), window, window);
}

}  // namespace
}  // namespace fusee::plan

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace fusee::plan;  // NOLINT: entry point of the room's own fuzzer
  const std::span<std::byte> file(reinterpret_cast<std::byte*>(data), size);
  if (size < kHeaderBytes) {
    const auto fresh = Seed(seed);
    if (fresh.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
    std::ranges::copy(fresh, reinterpret_cast<std::byte*>(data));
    return fresh.size();
  }
  if (seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 1) {
    LLVMFuzzerMutate(data + 8, 1024, 1024);  // the header's fields
  } else {
    MutateSection(file, seed / 8);
  }
  (void)Reseal(file);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fusee::plan;  // NOLINT: entry point of the room's own fuzzer
  const fusee::Tensor file = testing::AlignedCopy(std::as_bytes(std::span(data, size)));
  HostFacts host;
  host.gpu.emplace();
  if (auto header = ReadHeader(file.bytes()); header.ok()) {
    if (HeaderText(*header).empty() || CheckJson(Check(*header, host)).empty()) std::abort();
  }
  auto plan = Decode(file.bytes(), nullptr);
  if (plan.ok() &&
      (!Verify(**plan).ok() || PlanJson(**plan, {.tensors = true, .tried = true}).empty()))
    std::abort();
  return 0;
}
