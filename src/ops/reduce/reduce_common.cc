#include "ops/reduce/reduce.h"

namespace fusee::ops {

Result<ReduceParams> ReadReduce(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  ReduceParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const std::vector<int64_t> axes, spec.attrs->Ints("axes"));
  FUSEE_TRY(const int64_t keepdims, spec.attrs->Int("keepdims", 1));
  params.keepdims = keepdims != 0;
  for (int64_t axis : axes) {
    FUSEE_TRY(const int a, StepAxis(spec, axis, params.rank));
    if (params.reduced[static_cast<size_t>(a)]) return BadStep(spec, "an axis is named twice");
    params.reduced[static_cast<size_t>(a)] = true;
  }
  return params;
}

Status CheckReduce(const ReduceParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != params.rank) return InvalidArgument("a reduction's operand has another rank");
  Shape want;
  for (int i = 0; i < params.rank; ++i) {
    if (!params.reduced[static_cast<size_t>(i)]) want.push_back(in[i]);
    if (params.reduced[static_cast<size_t>(i)] && params.keepdims) want.push_back(1);
  }
  return ExpectShape("a reduction", "result", want, args.outputs[0].shape);
}

}  // namespace fusee::ops
