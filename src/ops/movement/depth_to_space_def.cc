// DepthToSpace and SpaceToDepth: Reshape, Transpose, Reshape; the standard defines them so.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status Emit(ImportContext& context, DimVector split, std::vector<int64_t> perm, DimVector joined) {
  FUSEE_TRY(const ir::ValueId parts,
            context.Emit("Reshape", {context.input(0)}, {}, std::move(split)));
  FUSEE_TRY(const ir::ValueId moved,
            context.Emit("Transpose", {parts}, {{"perm", std::move(perm)}}));
  return context.EmitAs("Reshape", {moved}, {}, std::move(joined));
}

Result<int64_t> BlockSize(ImportContext& context) {
  FUSEE_TRY(const int64_t block, context.RequiredInt("blocksize"));
  // The square must not overflow; no image comes near.
  if (block < 1 || block > 1 << 20) return context.Error(fmt::format("blocksize is {}", block));
  if (context.rank(0) != 4) return context.Error("needs an operand [N, C, H, W]");
  return block;
}

Status ImportDepthToSpace(ImportContext& context) {
  FUSEE_TRY(const int64_t b, BlockSize(context));
  FUSEE_TRY(const std::string mode, context.Str("mode", "DCR"));
  if (mode != "DCR" && mode != "CRD") return context.Error("mode should be DCR or CRD");
  const ir::SymShape& s = ShapeOf(context, 0);
  const ir::Dim depth = FloorDiv(s[1], b * b);
  const DimVector joined = {s[0], depth, s[2] * ir::Dim(b), s[3] * ir::Dim(b)};
  if (mode == "DCR") {
    return Emit(context, {s[0], b, b, depth, s[2], s[3]}, {0, 3, 4, 1, 5, 2}, joined);
  }
  return Emit(context, {s[0], depth, b, b, s[2], s[3]}, {0, 1, 4, 2, 5, 3}, joined);
}

Status ImportSpaceToDepth(ImportContext& context) {
  FUSEE_TRY(const int64_t b, BlockSize(context));
  const ir::SymShape& s = ShapeOf(context, 0);
  const ir::Dim height = FloorDiv(s[2], b), width = FloorDiv(s[3], b);
  return Emit(context, {s[0], s[1], height, b, width, b}, {0, 3, 5, 1, 2, 4},
              {s[0], s[1] * ir::Dim(b * b), height, width});
}

}  // namespace

OpDef DefineDepthToSpace() {
  return {.name = "DepthToSpace",
          .imports = {{"DepthToSpace", 1, 1 << 20, ImportDepthToSpace},
                      {"SpaceToDepth", 1, 1 << 20, ImportSpaceToDepth}}};
}

}  // namespace fusee::ops
