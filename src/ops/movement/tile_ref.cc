// Tile: a strided copy.
#include "ops/movement/copy_steps.h"

namespace fusee::ops {
namespace {

Status Run(const TileParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  TileCopy(params, args)
      .Run(BytesPerElement(in.dtype), in.data, args.outputs[0].data, args.parallel);
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TileParams params, ReadTile(spec));
  return MakeKernel(params, CheckTile, Run);
}

}  // namespace

extern const KernelDef tile_ref = {
    .id = "tile_ref.1", .op = "Tile", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
