// Pad: operand 0 with dims[i] elements before and dims[rank + i] after axis i; negative ones crop.
// Attribute mode: constant, reflect, edge or wrap. Operand 1, optional, is the constant (else
// zero).
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferPad(InferContext& context) {
  const ir::SymShape& shape = context.shape(0);
  const size_t rank = shape.size();
  if (context.dims().size() != 2 * rank) {
    return context.Error(fmt::format("has {} pads for rank {}", context.dims().size(), rank));
  }
  FUSEE_TRY(const std::string mode, context.attrs().Str("mode", "constant"));
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap") {
    return context.Error(fmt::format("mode '{}' is not constant, reflect, edge or wrap", mode));
  }
  if (context.has_input(1) && (context.dtype(1) != context.dtype(0) ||
                               !(ir::ElementCount(context.shape(1)) == ir::Dim(1)))) {
    return context.Error("the constant should be one element of the operand's type");
  }
  ir::SymShape out;
  for (size_t i = 0; i < rank; ++i) {
    out.push_back(shape[i] + context.dims()[i] + context.dims()[rank + i]);
    if (out.back().Range(context.symbols()).max < 0) {
      return context.Error(
          fmt::format("the pads crop more than dimension {} of {}", i, ir::ToString(shape)));
    }
  }
  context.SetOutput(0, context.dtype(0), std::move(out));
  return OkStatus();
}

Status EmitPad(ImportContext& context, DimVector pads, ir::ValueId value) {
  FUSEE_TRY(std::string mode, context.Str("mode", "constant"));
  std::vector<ir::ValueId> inputs = {context.input(0)};
  if (mode == "constant" && value.valid()) inputs.push_back(value);
  return context.EmitAs("Pad", std::move(inputs), {{"mode", std::move(mode)}}, std::move(pads));
}

Status ImportPadAttributes(ImportContext& context) {
  FUSEE_TRY(const std::vector<int64_t> pads, context.Ints("pads"));
  FUSEE_TRY(const double value, context.Float("value", 0));
  const ir::ValueId constant = context.Scalar(context.info(0).dtype, value);
  return EmitPad(context, DimVector(pads.begin(), pads.end()), constant);
}

// Pads of the named axes only, spread over all of them.
Result<DimVector> SpreadPads(ImportContext& context, DimVector pads) {
  FUSEE_TRY(const std::vector<int64_t> axes, context.ConstInts(3, "axes"));
  if (pads.size() != 2 * axes.size()) {
    return context.Error(fmt::format("has {} pads for {} axes", pads.size(), axes.size()));
  }
  const auto rank = static_cast<size_t>(context.rank(0));
  DimVector all(2 * rank, 0);
  std::vector<bool> seen(rank, false);
  for (size_t i = 0; i < axes.size(); ++i) {
    FUSEE_TRY(const int axis, context.Axis(axes[i], context.rank(0)));
    const auto a = static_cast<size_t>(axis);
    if (seen[a]) return context.Error("an axis is named twice");
    seen[a] = true;
    all[a] = pads[i];
    all[rank + a] = pads[axes.size() + i];
  }
  return all;
}

Status ImportPadOperands(ImportContext& context) {
  FUSEE_TRY(DimVector pads, context.DimInput(1, "pads"));
  if (context.has_input(3)) {
    FUSEE_TRY(pads, SpreadPads(context, std::move(pads)));
  }
  return EmitPad(context, std::move(pads), context.input(2));
}

}  // namespace

OpDef DefinePad() {
  return {.name = "Pad",
          .infer = InferPad,
          .imports = {{"Pad", 2, 10, ImportPadAttributes}, {"Pad", 11, 1 << 20, ImportPadOperands}},
          .narrow = true};
}

}  // namespace fusee::ops
