// Gather: slices of operand 0 along `axis`, picked by the integer tensor in operand 1.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferGather(InferContext& context) {
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  const auto a = static_cast<size_t>(axis);
  if (context.dtype(1) != DType::kI32 && context.dtype(1) != DType::kI64) {
    return context.Error(
        fmt::format("indices should be i32 or i64, got {}", DTypeName(context.dtype(1))));
  }
  const ir::SymShape& data = context.shape(0);
  const ir::SymShape& indices = context.shape(1);
  ir::SymShape out(data.begin(), data.begin() + axis);
  out.insert(out.end(), indices.begin(), indices.end());
  out.insert(out.end(), data.begin() + axis + 1, data.end());
  context.SetOutput(0, context.dtype(0), out);

  const auto known = KnownElements(context, 0);
  const auto picks = KnownElements(context, 1);
  if (!known || !picks || !IsTrackable(context.dtype(0), out)) return OkStatus();
  context.outputs()[0].elements =
      MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
        const ir::Dim& pick = (*picks)[FlatIndex(indices, index.subspan(a, indices.size()))];
        if (!pick.is_constant()) return std::nullopt;
        int64_t at = pick.constant();
        if (at < 0) at += data[a].constant();
        if (at < 0 || at >= data[a].constant()) return std::nullopt;  // the kernel reports it
        std::vector<int64_t> source(index.begin(), index.begin() + axis);
        source.push_back(at);
        source.insert(source.end(),
                      index.begin() + axis + static_cast<std::ptrdiff_t>(indices.size()),
                      index.end());
        return (*known)[FlatIndex(data, source)];
      });
  return OkStatus();
}

Status ImportGather(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  return context.EmitAs("Gather", {{"axis", int64_t{axis}}});
}

}  // namespace

OpDef DefineGather() {
  return {.name = "Gather",
          .infer = InferGather,
          .imports = {{"Gather", 1, 1 << 20, ImportGather}},
          .narrow = true};
}

}  // namespace fusee::ops
