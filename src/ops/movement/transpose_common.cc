#include "ops/movement/transpose.h"

namespace fusee::ops {

Result<TransposeParams> ReadTranspose(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  TransposeParams params;
  params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(const std::vector<int64_t> perm,
            StepInts(spec, "perm", static_cast<size_t>(params.rank)));
  std::array<bool, kMaxRank> used{};
  for (size_t i = 0; i < perm.size(); ++i) {
    const int64_t p = perm[i];
    if (p < 0 || p >= params.rank || used[static_cast<size_t>(p)]) {
      return BadStep(spec, "perm is not a permutation of the axes");
    }
    used[static_cast<size_t>(p)] = true;
    params.perm[i] = static_cast<int>(p);
  }
  return params;
}

Status CheckTranspose(const TransposeParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  Shape want = in;
  if (in.rank() != params.rank) return InvalidArgument("Transpose: the operand has another rank");
  for (int i = 0; i < params.rank; ++i) want[i] = in[params.perm[static_cast<size_t>(i)]];
  return ExpectShape("Transpose", "result", want, args.outputs[0].shape);
}

StridedCopy TransposeCopy(const TransposeParams& params, const RunArgs& args) {
  const Shape in_strides = RowMajorStrides(args.inputs[0].shape);
  const Shape& out = args.outputs[0].shape;
  const Shape out_strides = RowMajorStrides(out);
  StridedCopy copy;
  for (int i = 0; i < params.rank; ++i)
    copy.AddAxis(out[i], in_strides[params.perm[static_cast<size_t>(i)]], out_strides[i]);
  return copy;
}

}  // namespace fusee::ops
