// Range: element i is start + i * delta, computed in double for floats (rounded once) and modulo
// 2^64 for integers.
#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) {
  if (args.inputs[0].elements() != 1 || args.inputs[1].elements() != 1 || args.dims[0] < 0) {
    return InvalidArgument(
        "Range: start and delta should have one element, the count none below 0");
  }
  return ExpectShape("Range", "result", Shape{args.dims[0]}, args.outputs[0].shape);
}

Status Run(const Params&, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  if (IsFloat(out.dtype)) {
    const double start = DoubleAt(args.inputs[0], 0), delta = DoubleAt(args.inputs[1], 0);
    for (int64_t i = 0; i < args.dims[0]; ++i) {
      StoreDouble(out, i, start + static_cast<double>(i) * delta);
    }
    return OkStatus();
  }
  auto value = static_cast<uint64_t>(IntAt(args.inputs[0], 0));
  const auto delta = static_cast<uint64_t>(IntAt(args.inputs[1], 0));
  for (int64_t i = 0; i < args.dims[0]; ++i, value += delta) {
    StoreInt(out, i, static_cast<int64_t>(value));
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2, .dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "start and delta"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "start and result"));
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef range_ref = {
    .id = "range_ref.1", .op = "Range", .reference = true, .bind = Bind};

}  // namespace fusee::ops
