// Range: element i is start + i * delta, computed in double for floats (rounded once) and modulo
// 2^64 for integers.
#include "ops/movement/fill_steps.h"

namespace fusee::ops {
namespace {

struct Params {};

Status Check(const Params&, const RunArgs& args) { return CheckRange(args); }

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
  FUSEE_TRY(ReadRange(spec));
  return MakeKernel(Params{}, Check, Run);
}

}  // namespace

extern const KernelDef range_ref = {
    .id = "range_ref.1", .op = "Range", .reference = true, .bind = Bind};

}  // namespace fusee::ops
