// Trilu: each row is a kept run and one of zeros.
#include <algorithm>
#include <cstring>

#include "ops/movement/fill_steps.h"

namespace fusee::ops {
namespace {

Status Check(const TriluParams&, const RunArgs& args) { return CheckTrilu(args); }

Status Run(const TriluParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int rank = in.shape.rank();
  const int64_t rows = in.shape[rank - 2], columns = in.shape[rank - 1];
  const int64_t bytes = BytesPerElement(in.dtype);
  const auto* src = static_cast<const std::byte*>(in.data);
  auto* dst = static_cast<std::byte*>(args.outputs[0].data);
  const int64_t first_edge = TriluFirstEdge(params, args);
  for (int64_t r = 0; columns > 0 && r < in.elements() / columns; ++r) {
    const int64_t cut = std::clamp<int64_t>(r % rows + first_edge, 0, columns);
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
  FUSEE_TRY(const TriluParams params, ReadTrilu(spec));
  return MakeKernel(params, Check, Run);
}

}  // namespace

extern const KernelDef trilu_ref = {
    .id = "trilu_ref.1", .op = "Trilu", .reference = true, .in_place_inputs = 1, .bind = Bind};

}  // namespace fusee::ops
