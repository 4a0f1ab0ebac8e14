// Clip on f32. An absent bound is an infinity, which bounds nothing.
#include <limits>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status Run(const ClipParams&, const RunArgs& args) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float low = args.has_input(1) ? *args.inputs[1].as<float>() : -kInfinity;
  const float high = args.has_input(2) ? *args.inputs[2].as<float>() : kInfinity;
  const float* x = args.inputs[0].as<float>();
  float* y = args.outputs[0].as<float>();
  ParallelBlocks(args.parallel, args.outputs[0].elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) {
                   FUSEE_INDEPENDENT_LOOP
                   for (int64_t i = begin; i < end; ++i) {
                     const float raised = x[i] < low ? low : x[i];
                     y[i] = raised > high ? high : raised;
                   }
                 });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ClipParams params, ReadClip(spec));
  if (params.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  return MakeKernel(params, &CheckClip, &Run);
}

}  // namespace

extern const KernelDef clip_f32_cpu = {
    .id = "clip_f32_cpu.1", .op = "Clip", .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
