// Tile: operand 0 repeated dims[i] times along axis i.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferTile(InferContext& context) {
  const ir::SymShape& shape = context.shape(0);
  if (context.dims().size() != shape.size()) {
    return context.Error("repeats has another length than the rank");
  }
  ir::SymShape out = shape;
  for (size_t i = 0; i < out.size(); ++i) {
    if (context.dims()[i].Range(context.symbols()).max < 0) {
      return context.Error("a repeat is negative");
    }
    out[i] = shape[i] * context.dims()[i];
  }
  context.SetOutput(0, context.dtype(0), out);
  const auto known = KnownElements(context, 0);
  if (known && IsTrackable(context.dtype(0), out)) {
    context.outputs()[0].elements =
        MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
          std::vector<int64_t> source(index.begin(), index.end());
          for (size_t i = 0; i < source.size(); ++i) source[i] %= shape[i].constant();
          return (*known)[FlatIndex(shape, source)];
        });
  }
  return OkStatus();
}

Status ImportTile(ImportContext& context) {
  FUSEE_TRY(DimVector repeats, context.DimInput(1, "repeats"));
  return context.EmitAs("Tile", {context.input(0)}, {}, std::move(repeats));
}

}  // namespace

OpDef DefineTile() {
  return {.name = "Tile",
          .infer = InferTile,
          .imports = {{"Tile", 6, 1 << 20, ImportTile}},
          .narrow = true};
}

}  // namespace fusee::ops
