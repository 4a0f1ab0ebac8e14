// Pow on f32 with a constant scalar exponent that a few IEEE operations compute: 2, 3, 1, 0.5, -1.
// Others are the reference's.
#include <cmath>
#include <limits>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

enum class Power { kOne, kSquare, kCube, kRoot, kReciprocal };

struct Params {
  Power power;
};

// The result has the exponent's rank where that is larger, but always the base's elements.
Status Check(const Params&, const RunArgs& args) {
  if (args.inputs[1].elements() != 1)
    return ShapeMismatch("Pow", "the exponent", Shape{}, args.inputs[1].shape);
  return CheckBroadcast("Pow", args);
}

template <typename Fn>
void Map(const RunArgs& args, Fn&& fn) {
  const float* x = args.inputs[0].as<float>();
  float* y = args.outputs[0].as<float>();
  ParallelBlocks(args.parallel, args.outputs[0].elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) {
                   FUSEE_INDEPENDENT_LOOP
                   for (int64_t i = begin; i < end; ++i) y[i] = fn(x[i]);
                 });
}

// In double, so that only the last step rounds to 24 bits.
float Cube(float x) {
  const auto wide = static_cast<double>(x);
  return static_cast<float>(wide * wide * wide);
}

// pow differs from sqrt at -0 and -inf, where it gives +0 and +inf.
float Root(float x) {
  const float root = std::sqrt(x + 0.0f);
  return x == -std::numeric_limits<float>::infinity() ? -x : root;
}

Status Run(const Params& params, const RunArgs& args) {
  switch (params.power) {
    case Power::kOne: Map(args, [](float x) { return x; }); break;
    case Power::kSquare: Map(args, [](float x) { return x * x; }); break;
    case Power::kCube: Map(args, Cube); break;
    case Power::kRoot: Map(args, Root); break;
    case Power::kReciprocal: Map(args, [](float x) { return 1 / x; }); break;
  }
  return OkStatus();
}

double ConstantExponent(const TensorSpec& spec) {
  double exponent = 0;
  VisitType(spec.dtype,
            [&]<typename E>() { exponent = static_cast<double>(Load<E>(spec.data, 0)); });
  return exponent;
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckOperands(spec, 2));
  FUSEE_TRY(CheckType(spec, spec.inputs[1].dtype, kNumbers, "operand 1"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "base and result"));
  if (spec.inputs[0].dtype != DType::kF32) return RefuseTactic(spec, "takes a base of f32 only");
  if (spec.inputs[1].data == nullptr || spec.inputs[1].max_shape.elements() != 1)
    return RefuseTactic(spec, "takes a constant scalar exponent only");
  const double exponent = ConstantExponent(spec.inputs[1]);
  if (exponent == 1) return MakeKernel(Params{Power::kOne}, &Check, &Run);
  if (exponent == 2) return MakeKernel(Params{Power::kSquare}, &Check, &Run);
  if (exponent == 3) return MakeKernel(Params{Power::kCube}, &Check, &Run);
  if (exponent == 0.5) return MakeKernel(Params{Power::kRoot}, &Check, &Run);
  if (exponent == -1) return MakeKernel(Params{Power::kReciprocal}, &Check, &Run);
  return RefuseTactic(spec, "takes the exponents 1, 2, 3, 0.5 and -1 only");
}

}  // namespace

extern const KernelDef pow_f32_cpu = {
    .id = "pow_f32_cpu.1", .op = "Pow", .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
