#include "worker/golden_runs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/digest.h"
#include "ipc/messages.h"
#include "runtime/golden.h"

namespace fusee::worker {

std::string GoldenDifference::Text() const {
  return fmt::format("golden point {}: output '{}', {}: other bits than when the plan was verified",
                     point, output,
                     element ? fmt::format("element {}", *element)
                             : "element unknown, for no run gave the right bits");
}

Status GoldenRuns::Run(size_t point, fault::Point fault) {
  const plan::Golden& golden = context_->plan().plan().certificate.golden[point];
  FUSEE_TRY(runtime::FillInputs(*context_, golden.symbol_values, golden.fill, golden.seed));
  for (size_t o = 0; o < context_->output_count(); ++o)
    FUSEE_TRY(context_->BindOutput(o, nullptr, 0));
  FUSEE_TRY(context_->Run());
  if (fault::Hit(fault) == fault::Effect::kWrong && context_->output_count() > 0) {
    const ConstTensorView output = context_->output(0);
    // The context's own memory, behind a view that only readers need.
    if (output.size_bytes() > 0)
      static_cast<std::byte*>(const_cast<void*>(output.data))[0] ^= std::byte{1};
  }
  return OkStatus();
}

std::vector<std::vector<std::byte>> GoldenRuns::Outputs() const {
  std::vector<std::vector<std::byte>> outputs;
  for (size_t o = 0; o < context_->output_count(); ++o) {
    const ConstTensorView view = context_->output(o);
    outputs.emplace_back(view.bytes().begin(), view.bytes().end());
  }
  return outputs;
}

std::optional<GoldenDifference> GoldenRuns::Compare(const Kept& right) const {
  for (size_t o = 0; o < right.outputs.size(); ++o) {
    const ConstTensorView is = context_->output(o);
    const auto [expected, got] = std::ranges::mismatch(right.outputs[o], is.bytes());
    if (expected == right.outputs[o].end() && got == is.bytes().end()) continue;
    const int64_t byte = expected - right.outputs[o].begin();
    return GoldenDifference{.point = right.point,
                            .output = context_->plan().plan().outputs[o].name,
                            .element = byte * 8 / BitsPerElement(is.dtype)};
  }
  return std::nullopt;
}

Result<std::optional<GoldenDifference>> GoldenRuns::ReplayAll(const Clock& clock) {
  const plan::Plan& plan = context_->plan().plan();
  const auto& golden = plan.certificate.golden;
  // The first output with other bits than the certificate's.
  const auto wrong = [&](size_t point) -> std::optional<size_t> {
    for (size_t o = 0; o < context_->output_count(); ++o) {
      if (Sha256(context_->output(o).bytes()) != golden[point].output_digests[o]) return o;
    }
    return std::nullopt;
  };
  std::optional<Duration> quickest;
  std::optional<Kept> best;
  for (size_t g = 0; g < golden.size(); ++g) {
    const TimePoint start = clock.Now();
    if (Status ran = Run(g, fault::Point::kGolden); !ran.ok())
      return std::move(ran).Annotate(fmt::format("golden point {}", g));
    const Duration took = clock.Now() - start;
    if (const auto output = wrong(g)) {
      const Kept first{g, Outputs()};
      GoldenDifference difference{.point = g, .output = plan.outputs[*output].name};
      if (!Run(g, fault::Point::kGolden).ok()) return std::optional(difference);
      const auto between = Compare(first);
      difference.repeats = !between;
      if (between && !wrong(g)) difference = *between;
      return std::optional(difference);
    }
    size_t bytes = 0;
    for (size_t o = 0; o < context_->output_count(); ++o)
      bytes += context_->output(o).bytes().size();
    if (bytes > kProbeBytesMax || (quickest && took >= *quickest)) continue;
    quickest = took;
    best = Kept{g, Outputs()};
  }
  probe_.reset();
  if (!best) return std::optional<GoldenDifference>();
  // Timed once more: a first run also pays for pages and caches.
  const TimePoint start = clock.Now();
  FUSEE_TRY(Run(best->point, fault::Point::kGolden));
  const Duration took = clock.Now() - start;
  auto difference = Compare(*best);
  if (!difference && took <= ipc::kProbeTimeMax) probe_ = std::move(best);
  return difference;
}

Result<std::optional<WrongBits>> AsWrongBits(Result<std::optional<GoldenDifference>> outcome) {
  if (!outcome.ok()) return std::move(outcome).status();
  if (!*outcome) return std::optional<WrongBits>();
  return std::optional(WrongBits{(*outcome)->Text(), (*outcome)->repeats});
}

Result<std::optional<GoldenDifference>> GoldenRuns::Probe() {
  FUSEE_TRY(Run(probe_->point, fault::Point::kProbe));
  return Compare(*probe_);
}

}  // namespace fusee::worker
