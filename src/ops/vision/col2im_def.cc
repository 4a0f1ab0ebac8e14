// Col2Im: operand 0 [N, C * block elements, blocks] as images [N, C, dims...] on which the blocks
// lie, overlapping elements added up. dims: the images' sizes. Attributes: those of a window
// (ops/nn/window.h), whose kernel_shape is the block's; the blocks are the window's places.
#include <fmt/format.h>

#include "ops/movement/tracked.h"
#include "ops/nn/window_def.h"

namespace fusee::ops {
namespace {

// How many places the window has along the axes of an image.
Result<ir::Dim> Places(InferContext& context, const WindowAttrs& window) {
  const auto spatial = static_cast<size_t>(window.spatial);
  ir::Dim places = 1;
  for (size_t i = 0; i < spatial; ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - spatial + i;
    const ir::Dim slack = context.dims()[i] + ir::Dim(window.pad_begin[a] + window.pad_end[a]) -
                          ir::Dim(window.Extent(static_cast<int>(a)));
    if (slack.Range(context.symbols()).max < 0) {
      return context.Error(
          fmt::format("a block does not fit in axis {} of the image, {} elements padded by {} and "
                      "{}",
                      i, context.dims()[i].ToString(), window.pad_begin[a], window.pad_end[a]));
    }
    places = places * (FloorDiv(slack, window.stride[a]) + ir::Dim(1));
  }
  return places;
}

Status InferCol2Im(InferContext& context) {
  if (context.input_count() != 1 || !context.has_input(0)) return context.Error("needs an operand");
  if (context.rank(0) != 3) return context.Error("needs an operand [N, C * block, blocks]");
  if (context.dtype(0) == DType::kBool) return context.Refuse("adds up numbers, not bool");
  auto window = ParseWindow(context.attrs(), static_cast<int>(context.dims().size()));
  if (!window.ok()) return context.Error(window.status().message());
  const ir::SymShape& shape = context.shape(0);
  const int64_t block = window->KernelElements();
  const ir::Dim channels = FloorDiv(shape[1], block);
  FUSEE_TRY(context.RequireEqual(shape[1], channels * ir::Dim(block),
                                 "dimension 1 and a multiple of the block's elements"));
  FUSEE_TRY(const ir::Dim places, Places(context, *window));
  FUSEE_TRY(context.RequireEqual(shape[2], places, "dimension 2 and the number of blocks"));
  ir::SymShape out = {shape[0], channels};
  out.insert(out.end(), context.dims().begin(), context.dims().end());
  context.SetOutput(0, context.dtype(0), std::move(out));
  return OkStatus();
}

Status ImportCol2Im(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  FUSEE_TRY(DimVector image, context.DimInput(1, "image_shape"));
  FUSEE_TRY(std::vector<int64_t> block, context.ConstInts(2, "block_shape"));
  if (image.size() != block.size()) {
    return context.Error(
        fmt::format("image_shape has {} entries and block_shape {}", image.size(), block.size()));
  }
  for (const ir::Dim& d : image) {
    if (d.Range(context.graph().symbols()).max < 1) {
      return context.Error(fmt::format("image_shape has the entry {}", d.ToString()));
    }
  }
  FUSEE_TRY(Attrs attrs, ImportWindow(context, std::move(block), false));
  return context.EmitAs("Col2Im", {context.input(0)}, std::move(attrs), std::move(image));
}

}  // namespace

OpDef DefineCol2Im() {
  return {
      .name = "Col2Im", .infer = InferCol2Im, .imports = {{"Col2Im", 18, 1 << 20, ImportCol2Im}}};
}

}  // namespace fusee::ops
