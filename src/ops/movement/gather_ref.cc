// Gather: result[o, j, i] = data[o, indices[j], i], rows copied whole. Indices in [-n, n); one
// outside is an error at run time, found before anything is written.
#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  int data_rank = 0;
  int index_rank = 0;
  int axis = 0;
};

Status Check(const Params& params, const RunArgs& args) {
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

Status BadIndex(int64_t index, int64_t size) {
  return OutOfRange("Gather: index " + std::to_string(index) + " is out of range, expected " +
                    std::to_string(-size) + " to " + std::to_string(size - 1));
}

template <typename Index>
Status RunTyped(const Params& params, const RunArgs& args) {
  const ConstTensorView& data = args.inputs[0];
  const Index* indices = args.inputs[1].as<Index>();
  const int64_t count = args.inputs[1].elements();
  const int64_t size = data.shape[params.axis];
  for (int64_t j = 0; j < count; ++j) {
    if (indices[j] < -size || indices[j] >= size) return BadIndex(indices[j], size);
  }
  const int64_t outer = data.shape.elements(0, params.axis);
  const int64_t inner = data.shape.elements(params.axis + 1, params.data_rank);
  const int64_t bytes = inner * BytesPerElement(data.dtype);
  if (bytes == 0) return OkStatus();
  const auto* src = static_cast<const std::byte*>(data.data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  ParallelBlocks(args.parallel, outer * count, kElementsPerTask / inner,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; ++k) {
                     const int64_t index = indices[k % count];
                     const int64_t row = k / count * size + (index < 0 ? index + size : index);
                     std::memcpy(dst + k * bytes, src + row * bytes, static_cast<size_t>(bytes));
                   }
                 });
  return OkStatus();
}

Status Run(const Params& params, const RunArgs& args) {
  return args.inputs[1].dtype == DType::kI32 ? RunTyped<int32_t>(params, args)
                                             : RunTyped<int64_t>(params, args);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 2, .max_inputs = 2}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  const DType index = spec.inputs[1].dtype;
  if (index != DType::kI32 && index != DType::kI64)
    return BadStep(spec, "indices should be i32 or i64");
  Params params;
  params.data_rank = spec.inputs[0].max_shape.rank();
  params.index_rank = spec.inputs[1].max_shape.rank();
  FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(params.axis, StepAxis(spec, axis, params.data_rank));
  if (params.data_rank - 1 + params.index_rank > kMaxRank)
    return BadStep(spec, "the result's rank is too high");
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef gather_ref = {
    .id = "gather_ref.1", .op = "Gather", .reference = true, .bind = Bind};

}  // namespace fusee::ops
