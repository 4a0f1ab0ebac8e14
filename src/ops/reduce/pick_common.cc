#include "ops/reduce/pick.h"

namespace fusee::ops {

Result<ArgParams> ReadArg(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  if (spec.outputs[0].dtype != DType::kI64) return BadStep(spec, "the result should be i64");
  ArgParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t keepdims, spec.attrs->Int("keepdims", 1));
  FUSEE_TRY(const int64_t last, spec.attrs->Int("select_last_index", 0));
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank));
  params.keepdims = keepdims != 0;
  params.last = last != 0;
  return params;
}

Status CheckArg(const ArgParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != params.rank) return InvalidArgument("ArgMax: the operand has another rank");
  if (in[params.axis] == 0)
    return InvalidArgument("ArgMax: the axis of " + in.ToString() + " has no elements");
  Shape want;
  for (int i = 0; i < params.rank; ++i) {
    if (i != params.axis) want.push_back(in[i]);
    if (i == params.axis && params.keepdims) want.push_back(1);
  }
  return ExpectShape("ArgMax", "result", want, args.outputs[0].shape);
}

Result<TopKParams> ReadTopK(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_outputs = 2, .max_outputs = 2, .dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and values"));
  if (spec.outputs[1].dtype != DType::kI64) return BadStep(spec, "indices should be i64");
  TopKParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const int64_t largest, spec.attrs->Int("largest", 1));
  FUSEE_TRY(params.axis, ReadAxis(spec, -1, params.rank));
  params.largest = largest != 0;
  return params;
}

Status CheckTopK(const TopKParams& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("TopK: the operand has another rank");
  const int64_t k = args.dims[0];
  if (k < 0 || k > want[params.axis]) {
    return InvalidArgument("TopK: asks for " + std::to_string(k) + " of " +
                           std::to_string(want[params.axis]) + " elements");
  }
  want[params.axis] = k;
  FUSEE_TRY(ExpectShape("TopK", "values", want, args.outputs[0].shape));
  return ExpectShape("TopK", "indices", want, args.outputs[1].shape);
}

}  // namespace fusee::ops
