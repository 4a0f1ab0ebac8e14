#include "runtime/golden.h"

#include <fmt/format.h>

#include <cstring>

#include "plan/dims.h"

namespace fusee::runtime {

Status FillInputs(Context& context, std::span<const int64_t> symbol_values, Fill fill,
                  uint64_t seed, int64_t int_max) {
  const plan::Plan& plan = context.plan().plan();
  if (symbol_values.size() != plan.symbols.size()) {
    return InvalidArgument(fmt::format("{} symbol values given, the plan has {} symbols",
                                       symbol_values.size(), plan.symbols.size()));
  }
  std::vector<int64_t> dims(plan.dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan.dims, symbol_values, dims));
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    FUSEE_TRY(const Shape shape, plan::ShapeOf(plan.tensors[plan.inputs[i].tensor], dims));
    FUSEE_TRY(context.SetInputShape(i, shape));
    FUSEE_TRY(context.BindInput(i, nullptr, 0));
    const TensorView view = context.input(i);
    if (plan.inputs[i].is_pinned) {
      if (!plan.inputs[i].pinned.empty())
        std::memcpy(view.data, plan.inputs[i].pinned.data(), plan.inputs[i].pinned.size());
    } else {
      FillRandom(view, fill, seed, /*stream=*/i, kGoldenIntMin, int_max);
    }
  }
  for (size_t i = 0; i < plan.symbols.size(); ++i) {
    const plan::Symbol& s = plan.symbols[i];
    if (s.axis < 0 && !plan.inputs[s.input].is_pinned)
      StoreInt(context.input(s.input), s.element, symbol_values[i]);
  }
  return OkStatus();
}

Result<std::vector<Sha256Digest>> RunGolden(Context& context,
                                            std::span<const int64_t> symbol_values, Fill fill,
                                            uint64_t seed) {
  FUSEE_TRY(FillInputs(context, symbol_values, fill, seed));
  for (size_t i = 0; i < context.output_count(); ++i) FUSEE_TRY(context.BindOutput(i, nullptr, 0));
  FUSEE_TRY(context.Run());
  std::vector<Sha256Digest> digests;
  for (size_t i = 0; i < context.output_count(); ++i)
    digests.push_back(Sha256(context.output(i).bytes()));
  return digests;
}

Status ReplayGolden(Context& context) {
  const plan::Plan& plan = context.plan().plan();
  const auto& golden = plan.certificate.golden;
  for (size_t g = 0; g < golden.size(); ++g) {
    auto digests = RunGolden(context, golden[g].symbol_values, golden[g].fill, golden[g].seed);
    if (!digests.ok())
      return std::move(digests).status().Annotate(fmt::format("golden point {}", g));
    for (size_t i = 0; i < digests->size(); ++i) {
      if ((*digests)[i] == golden[g].output_digests[i]) continue;
      return FailedPrecondition(
          fmt::format("golden point {}: output '{}' has other bits than when the plan was verified "
                      "(sha256 {}, expected {}); this machine computes differently: rebuild here",
                      g, plan.outputs[i].name, ToHex((*digests)[i]).substr(0, 16),
                      ToHex(golden[g].output_digests[i]).substr(0, 16)));
    }
  }
  return OkStatus();
}

Status ReplayGolden(const std::shared_ptr<const LoadedPlan>& plan, Parallel* parallel) {
  if (plan->plan().certificate.golden.empty()) return OkStatus();
  FUSEE_TRY(auto context, Context::Create(plan, {.parallel = parallel}));
  return ReplayGolden(*context);
}

}  // namespace fusee::runtime
