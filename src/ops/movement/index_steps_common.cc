#include "ops/movement/index_steps.h"

namespace fusee::ops {

Result<GatherParams> ReadGather(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  if (!IsIndexType(spec.inputs[1].dtype)) return BadStep(spec, "indices should be i32 or i64");
  GatherParams params;
  params.data_rank = spec.inputs[0].max_shape.rank();
  params.index_rank = spec.inputs[1].max_shape.rank();
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.data_rank));
  if (params.data_rank - 1 + params.index_rank > kMaxRank)
    return BadStep(spec, "the result's rank is too high");
  return params;
}

Status CheckGather(const GatherParams& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& indices = args.inputs[1].shape;
  if (data.rank() != params.data_rank || indices.rank() != params.index_rank) {
    return InvalidArgument("Gather: an operand has another rank");
  }
  Shape want;
  for (int i = 0; i < params.axis; ++i) want.push_back(data[i]);
  for (int64_t d : indices.dims()) want.push_back(d);
  for (int i = params.axis + 1; i < data.rank(); ++i) want.push_back(data[i]);
  return ExpectShape("Gather", "result", want, args.outputs[0].shape);
}

namespace {

// The rank of data, after the checks that both element-wise forms share.
Result<int> ReadIndexed(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  if (!IsIndexType(spec.inputs[1].dtype)) return BadStep(spec, "indices should be i32 or i64");
  return spec.inputs[0].max_shape.rank();
}

}  // namespace

Result<GatherElementsParams> ReadGatherElements(const StepSpec& spec) {
  GatherElementsParams params;
  FUSEE_TRY(params.rank, ReadIndexed(spec));
  FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank));
  return params;
}

Status CheckGatherElements(const GatherElementsParams& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  if (data.rank() != params.rank) return InvalidArgument("GatherElements: data has another rank");
  FUSEE_TRY(IndexGrid::CheckShapes("GatherElements", data, args.inputs[1].shape, params.axis));
  return ExpectShape("GatherElements", "result", args.inputs[1].shape, args.outputs[0].shape);
}

Result<GatherNdParams> ReadGatherNd(const StepSpec& spec) {
  GatherNdParams params;
  FUSEE_TRY(params.rank, ReadIndexed(spec));
  FUSEE_TRY(const int64_t batch, spec.attrs->Int("batch_dims", 0));
  if (batch < 0 || batch >= params.rank) return BadStep(spec, "batch_dims is out of range");
  params.batch = static_cast<int>(batch);
  return params;
}

Status CheckGatherNd(const GatherNdParams& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& indices = args.inputs[1].shape;
  const int last = indices.rank() - 1;
  if (data.rank() != params.rank || last < params.batch || indices[last] < 1 ||
      indices[last] > params.rank - params.batch) {
    return InvalidArgument("GatherND: indices " + indices.ToString() + " do not fit data " +
                           data.ToString());
  }
  const int slice = params.batch + static_cast<int>(indices[last]);
  if (last + params.rank - slice > kMaxRank) return InvalidArgument("GatherND: rank too high");
  Shape want;
  for (int i = 0; i < last; ++i) {
    if (i < params.batch && indices[i] != data[i]) {
      return InvalidArgument("GatherND: batch dimensions of data and indices differ");
    }
    want.push_back(indices[i]);
  }
  for (int i = slice; i < params.rank; ++i) want.push_back(data[i]);
  return ExpectShape("GatherND", "result", want, args.outputs[0].shape);
}

namespace {

Result<ScatterParams> ReadScatter(const StepSpec& spec, bool nd) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 3, .max_inputs = 3}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[2], "data and updates"));
  if (!IsIndexType(spec.inputs[1].dtype)) return BadStep(spec, "indices should be i32 or i64");
  ScatterParams params;
  params.dtype = spec.inputs[0].dtype;
  params.rank = spec.inputs[0].max_shape.rank();
  if (!nd) {
    FUSEE_TRY(params.axis, ReadAxis(spec, 0, params.rank));
  }
  FUSEE_TRY(const std::string name, spec.attrs->Str("reduction", "none"));
  if (name == "add")
    params.reduction = Reduction::kAdd;
  else if (name == "mul")
    params.reduction = Reduction::kMul;
  else if (name == "max")
    params.reduction = Reduction::kMax;
  else if (name == "min")
    params.reduction = Reduction::kMin;
  else if (name != "none")
    return BadStep(spec, "has no reduction '" + name + "'");
  if (params.dtype == DType::kBool && params.reduction != Reduction::kNone)
    return BadStep(spec, "has no such reduction of bool");
  return params;
}

}  // namespace

Result<ScatterParams> ReadScatterElements(const StepSpec& spec) { return ReadScatter(spec, false); }

Status CheckScatterElements(const ScatterParams& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  if (data.rank() != params.rank) return InvalidArgument("ScatterElements: data has another rank");
  FUSEE_TRY(IndexGrid::CheckShapes("ScatterElements", data, args.inputs[1].shape, params.axis));
  FUSEE_TRY(ExpectShape("ScatterElements", "updates", args.inputs[1].shape, args.inputs[2].shape));
  return ExpectShape("ScatterElements", "result", data, args.outputs[0].shape);
}

Result<ScatterParams> ReadScatterNd(const StepSpec& spec) { return ReadScatter(spec, true); }

Status CheckScatterNd(const ScatterParams& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& indices = args.inputs[1].shape;
  const int last = indices.rank() - 1;
  if (data.rank() != params.rank || last < 0 || indices[last] < 1 || indices[last] > params.rank ||
      last + params.rank - indices[last] > kMaxRank) {
    return InvalidArgument("ScatterND: indices " + indices.ToString() + " do not fit data " +
                           data.ToString());
  }
  Shape want;
  for (int i = 0; i < last; ++i) want.push_back(indices[i]);
  for (int i = static_cast<int>(indices[last]); i < params.rank; ++i) want.push_back(data[i]);
  FUSEE_TRY(ExpectShape("ScatterND", "updates", want, args.inputs[2].shape));
  return ExpectShape("ScatterND", "result", data, args.outputs[0].shape);
}

}  // namespace fusee::ops
