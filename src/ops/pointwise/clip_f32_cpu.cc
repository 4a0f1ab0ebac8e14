// Clip on f32. An absent bound is an infinity, which bounds nothing.
#include <limits>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    if (args.has_input(i) && args.inputs[i].elements() != 1) {
      return ShapeMismatch("Clip", "a bound", Shape{}, args.inputs[i].shape);
    }
  }
  return CheckSameShape("Clip", args);
}

Status Run(const Params&, const RunArgs& args) {
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
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 1, .max_inputs = 3}));
  for (const TensorSpec& input : spec.inputs) {
    if (input.present() && input.dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  }
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  return MakeKernel(Params{}, &Check, &Run);
}

}  // namespace

extern const KernelDef clip_f32_cpu = {
    .id = "clip_f32_cpu.1", .op = "Clip", .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
