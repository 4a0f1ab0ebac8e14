// Trilu: each row is a kept run and one of zeros.
#include <algorithm>
#include <cstring>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  bool upper = true;
};

Status Check(const Params&, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() < 2) return InvalidArgument("Trilu: needs rank 2 or more");
  return ExpectShape("Trilu", "result", in, args.outputs[0].shape);
}

Status Run(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int rank = in.shape.rank();
  const int64_t rows = in.shape[rank - 2], columns = in.shape[rank - 1];
  const int64_t bytes = BytesPerElement(in.dtype);
  const auto* src = static_cast<const std::byte*>(in.data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  // Clamped so that adding a row number cannot overflow.
  const int64_t diagonal = std::clamp<int64_t>(args.dims[0], -rows - 1, columns + 1);
  for (int64_t r = 0; columns > 0 && r < in.elements() / columns; ++r) {
    // Columns [0, cut) are the lower part; the upper one starts on the diagonal itself.
    const int64_t edge = r % rows + diagonal + (params.upper ? 0 : 1);
    const int64_t cut = std::clamp<int64_t>(edge, 0, columns);
    const int64_t row = r * columns * bytes;
    const auto lower = static_cast<size_t>(cut * bytes);
    const auto upper = static_cast<size_t>((columns - cut) * bytes);
    const int64_t middle = row + cut * bytes;
    if (params.upper) {
      std::memset(dst + row, 0, lower);
      std::memmove(dst + middle, src + middle, upper);
    } else {
      std::memmove(dst + row, src + row, lower);
      std::memset(dst + middle, 0, upper);
    }
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = 1}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(const int64_t upper, spec.attrs->Int("upper", 1));
  return MakeKernel(Params{upper != 0}, Check, Run);
}

}  // namespace

extern const KernelDef trilu_ref = {
    .id = "trilu_ref.1", .op = "Trilu", .reference = true, .in_place_inputs = 1, .bind = Bind};

}  // namespace fusee::ops
