// AffineGrid: the positions at which GridSample transforms an image, spelled with other operators.
//
//   axis of n positions:  Range -> i = 0, 1, ... n - 1, scaled to run from -1 to 1
//   base:                 every combination of the axes' positions and a 1,  [positions, axes + 1]
//   grid:                 MatMul(base, theta transposed), reshaped to [N, out..., axes]
//
// Half-precision types compute in f32, so that only the result is rounded.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

// Operator(a, b) with the result's id; the chains below are long.
Result<ir::ValueId> Apply(ImportContext& context, std::string_view op, ir::ValueId a,
                          ir::ValueId b) {
  return context.Emit(op, {a, b});
}

// [n] in `type`: the centres of n positions between -1 and 1. With align_corners the outermost ones
// lie on -1 and 1, and one alone on -1; else the outer edges do.
Result<ir::ValueId> Positions(ImportContext& context, DType type, const ir::Dim& n, bool align) {
  const auto scalar = [&](double value) { return context.Scalar(type, value); };
  FUSEE_TRY(const ir::ValueId steps, context.Emit("Range", {scalar(0), scalar(1)}, {}, {n}));
  FUSEE_TRY(const ir::ValueId shape,
            context.Emit("Shape", {steps}, {{"start", int64_t{0}}, {"end", int64_t{1}}}));
  FUSEE_TRY(ir::ValueId count, context.Emit("Cast", {shape}, {{"to", static_cast<int64_t>(type)}}));
  FUSEE_TRY(ir::ValueId doubled, Apply(context, "Mul", steps, scalar(2)));
  if (align) {
    FUSEE_TRY(count, Apply(context, "Sub", count, scalar(1)));
    FUSEE_TRY(count, Apply(context, "Max", count, scalar(1)));
  } else {
    FUSEE_TRY(doubled, Apply(context, "Add", doubled, scalar(1)));
  }
  FUSEE_TRY(const ir::ValueId fraction, Apply(context, "Div", doubled, count));
  return Apply(context, "Sub", fraction, scalar(1));
}

// [out..., axes + 1]: positions with the innermost axis first, then 1.
Result<ir::ValueId> Base(ImportContext& context, DType type, const DimVector& out, bool align) {
  DimVector unit = out;
  unit.emplace_back(1);
  std::vector<ir::ValueId> columns;
  for (size_t axis = out.size(); axis-- > 0;) {
    FUSEE_TRY(const ir::ValueId line, Positions(context, type, out[axis], align));
    DimVector along(unit.size(), 1);
    along[axis] = out[axis];
    FUSEE_TRY(const ir::ValueId placed, context.Emit("Reshape", {line}, {}, along));
    FUSEE_TRY(const ir::ValueId column, context.Emit("Expand", {placed}, {}, unit));
    columns.push_back(column);
  }
  FUSEE_TRY(const ir::ValueId ones, context.Emit("Expand", {context.Scalar(type, 1)}, {}, unit));
  columns.push_back(ones);
  return context.Emit("Concat", std::move(columns), {{"axis", static_cast<int64_t>(out.size())}});
}

Status ImportAffineGrid(ImportContext& context) {
  FUSEE_TRY(const int64_t align, context.Int("align_corners", 0));
  if (!context.has_input(0)) return context.Error("needs theta");
  FUSEE_TRY(const DimVector size, context.DimInput(1, "size"));
  if (size.size() != 4 && size.size() != 5) {
    return context.Error(fmt::format(
        "the size has {} entries, expected [N, C, H, W] or [N, C, D, H, W]", size.size()));
  }
  const auto axes = static_cast<int64_t>(size.size()) - 2;
  const ir::SymShape& theta = ShapeOf(context, 0);
  const DType type = context.info(0).dtype;
  if (!IsFloat(type)) return context.Error("theta should be of a floating-point type");
  if (theta.size() != 3 || !(theta[1] == ir::Dim(axes)) || !(theta[2] == ir::Dim(axes + 1))) {
    return context.Error(
        fmt::format("theta is {}, expected [N, {}, {}]", ir::ToString(theta), axes, axes + 1));
  }
  const DimVector out(size.begin() + 2, size.end());
  for (const ir::Dim& d : out) {
    if (d.Range(context.graph().symbols()).min < 0) {
      return context.Error(fmt::format("the size has the negative entry {}", d.ToString()));
    }
  }
  const DType wide = type == DType::kF64 ? DType::kF64 : DType::kF32;
  FUSEE_TRY(const ir::ValueId base, Base(context, wide, out, align != 0));
  const DimVector flat = {1, ir::ElementCount(out), axes + 1};
  FUSEE_TRY(const ir::ValueId rows, context.Emit("Reshape", {base}, {}, flat));
  ir::ValueId matrix = context.input(0);
  if (wide != type) {
    FUSEE_TRY(matrix, context.Emit("Cast", {matrix}, {{"to", static_cast<int64_t>(wide)}}));
  }
  FUSEE_TRY(matrix, context.Emit("Transpose", {matrix}, {{"perm", std::vector<int64_t>{0, 2, 1}}}));
  FUSEE_TRY(ir::ValueId grid, Apply(context, "MatMul", rows, matrix));
  if (wide != type) {
    FUSEE_TRY(grid, context.Emit("Cast", {grid}, {{"to", static_cast<int64_t>(type)}}));
  }
  DimVector target = {size[0]};
  target.insert(target.end(), out.begin(), out.end());
  target.emplace_back(axes);
  return context.EmitAs("Reshape", {grid}, {}, std::move(target));
}

}  // namespace

OpDef DefineAffineGrid() {
  return {.name = "AffineGrid", .imports = {{"AffineGrid", 20, 1 << 20, ImportAffineGrid}}};
}

}  // namespace fusee::ops
