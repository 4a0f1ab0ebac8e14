// Tile: a strided copy.
#include "ops/movement/copy_steps.h"
#include "ops/movement/strided_copy_cuda.cuh"

namespace fusee::ops {
namespace {

Status Run(const TileParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  return LaunchStridedCopy(TileCopy(params, args), BytesPerElement(in.dtype), in.data,
                           args.outputs[0].data, args.queue);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TileParams params, ReadTile(spec));
  return MakeKernel(params, CheckTile, Run);
}

}  // namespace

extern const KernelDef tile_cuda = {
    .id = "tile_cuda.1", .op = "Tile", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
