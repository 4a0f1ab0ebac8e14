// Pow on f32 with a constant scalar exponent that a few IEEE operations compute: 2, 3, 1, 0.5, -1.
// Others are the reference's.
#include <cmath>
#include <limits>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

struct Params {
  EasyPower power;
};

Status Check(const Params&, const RunArgs& args) { return CheckEasyPow(args); }

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
    case EasyPower::kNone: break;
    case EasyPower::kOne: Map(args, [](float x) { return x; }); break;
    case EasyPower::kSquare: Map(args, [](float x) { return x * x; }); break;
    case EasyPower::kCube: Map(args, Cube); break;
    case EasyPower::kRoot: Map(args, Root); break;
    case EasyPower::kReciprocal: Map(args, [](float x) { return 1 / x; }); break;
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const PowParams params, ReadPow(spec));
  if (params.base != DType::kF32) return RefuseTactic(spec, "takes a base of f32 only");
  const EasyPower power = FindEasyPower(spec.inputs[1]);
  if (power == EasyPower::kNone)
    return RefuseTactic(spec, "takes the constant exponents 1, 2, 3, 0.5 and -1 only");
  return MakeKernel(Params{power}, &Check, &Run);
}

}  // namespace

extern const KernelDef pow_f32_cpu = {
    .id = "pow_f32_cpu.1", .op = "Pow", .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
