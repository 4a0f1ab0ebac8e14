// OneHot over indices [outer, inner] into [outer, depth, inner]: everything off, then one element
// on per index; an index outside [-depth, depth) turns none on. EyeLike writes its diagonal the
// same way.
#include <algorithm>
#include <cstring>

#include "ops/movement/fill_steps.h"

namespace fusee::ops {
namespace {

// Floats count as the integer they truncate to; what no integer holds is out of range like any
// other.
int64_t ReadIndex(const ConstTensorView& indices, int64_t i) {
  if (!IsFloat(indices.dtype)) return IntAt(indices, i);
  const double value = DoubleAt(indices, i);
  return value > -9e18 && value < 9e18 ? static_cast<int64_t>(value) : INT64_MAX;
}

template <typename T>
Status RunOneHot(const OneHotParams& params, const RunArgs& args) {
  const ConstTensorView& indices = args.inputs[0];
  const auto* values = static_cast<const T*>(args.inputs[1].data);
  auto* out = static_cast<T*>(args.outputs[0].data);
  std::fill(out, out + args.outputs[0].elements(), values[0]);
  const int64_t depth = args.dims[0];
  const int64_t inner = indices.shape.elements(params.axis, params.rank);
  for (int64_t k = 0; k < indices.elements(); ++k) {
    int64_t index = ReadIndex(indices, k);
    if (index < 0) index += depth;
    if (index < 0 || index >= depth) continue;
    out[(k / inner * depth + index) * inner + k % inner] = values[1];
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindOneHot(const StepSpec& spec) {
  FUSEE_TRY(const OneHotParams params, ReadOneHot(spec));
  switch (BytesPerElement(spec.outputs[0].dtype)) {
    case 1: return MakeKernel(params, CheckOneHot, RunOneHot<uint8_t>);
    case 2: return MakeKernel(params, CheckOneHot, RunOneHot<uint16_t>);
    case 4: return MakeKernel(params, CheckOneHot, RunOneHot<uint32_t>);
    default: return MakeKernel(params, CheckOneHot, RunOneHot<uint64_t>);
  }
}

Status RunEyeLike(const EyeLikeParams& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  std::memset(out.data, 0, static_cast<size_t>(out.size_bytes()));
  const int64_t rows = out.shape[0], columns = out.shape[1];
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t c = r + params.diagonal;
    if (c >= 0 && c < columns) StoreInt(out, r * columns + c, 1);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> BindEyeLike(const StepSpec& spec) {
  FUSEE_TRY(const EyeLikeParams params, ReadEyeLike(spec));
  const auto check = [](const EyeLikeParams&, const RunArgs& args) { return CheckEyeLike(args); };
  return MakeKernel<EyeLikeParams>(params, check, RunEyeLike);
}

}  // namespace

extern const KernelDef one_hot_ref = {
    .id = "one_hot_ref.1", .op = "OneHot", .reference = true, .bind = BindOneHot};
extern const KernelDef eye_like_ref = {
    .id = "eye_like_ref.1", .op = "EyeLike", .reference = true, .bind = BindEyeLike};

}  // namespace fusee::ops
