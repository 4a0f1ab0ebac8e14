// MaxUnpool: zeros, with operand 0's elements at the flat positions of the result that operand 1
// names. Spelled as ScatterElements over the flattened result, which also checks the positions.
//
// The result's size follows from the window. An explicit output_shape may name another one, since a
// pool forgets what its last windows lacked; then two readings of the positions are about: that
// they count in the result (so MaxPool gives them), or in the size that the window gives, which is
// extended afterwards (so ONNX's own test has it). Only where they come from a MaxPool of this
// graph is it known what they count in.
#include <fmt/format.h>

#include "ops/movement/tracked.h"
#include "ops/nn/window_def.h"

namespace fusee::ops {
namespace {

// What the window gives: the largest size that MaxPool makes operand 0's from without a remainder.
Result<DimVector> WindowSize(ImportContext& context) {
  FUSEE_TRY(std::vector<int64_t> kernel, context.Ints("kernel_shape"));
  const ir::SymShape& shape = ShapeOf(context, 0);
  if (kernel.size() + 2 != shape.size()) {
    return context.Error(
        fmt::format("kernel_shape has {} entries for {}", kernel.size(), ir::ToString(shape)));
  }
  FUSEE_TRY(const Attrs attrs, ImportWindow(context, std::move(kernel), false));
  auto window = ParseWindow(attrs, static_cast<int>(shape.size()) - 2);
  if (!window.ok()) return context.Error(window.status().message());
  DimVector out = {shape[0], shape[1]};
  for (size_t i = 2; i < shape.size(); ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - shape.size() + i;
    out.push_back((shape[i] - ir::Dim(1)) * ir::Dim(window->stride[a]) +
                  ir::Dim(window->kernel[a] - window->pad_begin[a] - window->pad_end[a]));
    if (out.back().Range(context.graph().symbols()).max < 1) {
      return context.Error(fmt::format("the pads leave nothing of axis {}", i));
    }
  }
  return out;
}

// Is operand 1 what a MaxPool of this graph says of an operand with this shape?
bool CountsIn(const ImportContext& context, ir::Graph& graph, const DimVector& shape) {
  const ir::Value& indices = graph.value(context.input(1));
  if (!indices.producer.valid() || indices.output_index != 1) return false;
  const ir::Node& pool = graph.node(indices.producer);
  return pool.op == "MaxPool" && !pool.attrs.Has("storage_order") &&
         graph.value(pool.inputs[0]).info.shape == shape;
}

Status ImportMaxUnpool(ImportContext& context) {
  if (!context.has_input(0) || !context.has_input(1)) return context.Error("needs x and indices");
  if (context.info(1).dtype != DType::kI64) return context.Error("the indices should be i64");
  if (!IsFloat(context.info(0).dtype)) return context.Error("needs a floating-point type");
  if (context.rank(0) < 3) return context.Error("needs an operand [N, C, ...] of rank 3 or more");
  FUSEE_TRY(DimVector out, WindowSize(context));
  if (context.has_input(2)) {
    FUSEE_TRY(const DimVector given, context.DimInput(2, "output_shape"));
    if (given.size() != out.size()) {
      return context.Error(
          fmt::format("output_shape has {} entries, expected {}", given.size(), out.size()));
    }
    if (!(given == out) && !CountsIn(context, context.graph(), given)) {
      return context.Refuse(
          fmt::format("output_shape {} is not {}, what the window gives, and implementations "
                      "differ in which of "
                      "the two the indices count in; leave output_shape away, or take the indices "
                      "from a MaxPool "
                      "of this graph whose operand has that shape",
                      ir::ToString(given), ir::ToString(out)));
    }
    out = given;
  }
  const ir::Dim count = ir::ElementCount(ShapeOf(context, 0));
  FUSEE_TRY(const ir::ValueId zeros,
            context.Emit("Expand", {context.Scalar(context.info(0).dtype, 0)}, {},
                         {ir::ElementCount(out)}));
  FUSEE_TRY(const ir::ValueId values, context.Emit("Reshape", {context.input(0)}, {}, {count}));
  FUSEE_TRY(const ir::ValueId positions, context.Emit("Reshape", {context.input(1)}, {}, {count}));
  FUSEE_TRY(const ir::ValueId flat,
            context.Emit("ScatterElements", {zeros, positions, values}, {{"axis", int64_t{0}}}));
  return context.EmitAs("Reshape", {flat}, {}, std::move(out));
}

}  // namespace

OpDef DefineMaxUnpool() {
  return {.name = "MaxUnpool", .imports = {{"MaxUnpool", 9, 1 << 20, ImportMaxUnpool}}};
}

}  // namespace fusee::ops
