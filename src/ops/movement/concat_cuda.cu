// Concat and Split: one rectangle of bytes per operand or result, all in one launch where they are
// at most kPiecesPerLaunch.
#include <array>
#include <span>
#include <utility>

#include "ops/movement/copy_steps.h"
#include "ops/movement/pieces_cuda.cuh"

namespace fusee::ops {
namespace {

// Hands pieces over in lots that fit a launch: Run allocates nothing.
class PieceList {
 public:
  explicit PieceList(void* queue) : queue_(queue) {}
  Status Add(const Piece& piece) {
    pieces_[static_cast<size_t>(count_++)] = piece;
    return count_ < kPiecesPerLaunch ? OkStatus() : Launch();
  }
  Status Launch() {
    const auto count = static_cast<size_t>(std::exchange(count_, 0));
    return LaunchPieces(std::span(pieces_).first(count), queue_);
  }

 private:
  void* const queue_;
  std::array<Piece, kPiecesPerLaunch> pieces_;
  int count_ = 0;
};

Status RunConcat(const JoinParams& params, const RunArgs& args) {
  const TensorView& out = args.outputs[0];
  const int64_t bytes = BytesPerElement(out.dtype);
  PieceList list(args.queue);
  int64_t begin = 0;
  for (const ConstTensorView& in : args.inputs) {
    const int64_t size = in.shape[params.axis];
    const JoinedPart part = PartOf(params, out.shape, begin, size);
    begin += size;
    if (in.elements() == 0) continue;
    FUSEE_TRY(list.Add({in.data, static_cast<char*>(out.data) + part.offset * bytes, part.outer,
                        part.row * bytes, part.row * bytes, part.whole * bytes}));
  }
  return list.Launch();
}

Status RunSplit(const JoinParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int64_t bytes = BytesPerElement(in.dtype);
  PieceList list(args.queue);
  int64_t begin = 0;
  for (size_t i = 0; i < args.outputs.size(); ++i) {
    const TensorView& out = args.outputs[i];
    const JoinedPart part = PartOf(params, in.shape, begin, args.dims[i]);
    begin += args.dims[i];
    if (!out.present() || out.elements() == 0) continue;
    FUSEE_TRY(list.Add({static_cast<const char*>(in.data) + part.offset * bytes, out.data,
                        part.outer, part.row * bytes, part.whole * bytes, part.row * bytes}));
  }
  return list.Launch();
}

Result<std::unique_ptr<BoundKernel>> BindConcat(const StepSpec& spec) {
  FUSEE_TRY(const JoinParams params, ReadConcat(spec));
  return MakeKernel(params, CheckConcat, RunConcat);
}

Result<std::unique_ptr<BoundKernel>> BindSplit(const StepSpec& spec) {
  FUSEE_TRY(const JoinParams params, ReadSplit(spec));
  return MakeKernel(params, CheckSplit, RunSplit);
}

}  // namespace

extern const KernelDef concat_cuda = {
    .id = "concat_cuda.1", .op = "Concat", .device = DeviceKind::kCuda, .bind = BindConcat};
extern const KernelDef split_cuda = {
    .id = "split_cuda.1", .op = "Split", .device = DeviceKind::kCuda, .bind = BindSplit};

}  // namespace fusee::ops
