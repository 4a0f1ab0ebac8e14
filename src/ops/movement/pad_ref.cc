// Pad: a fill and a strided copy for a constant, else index arithmetic (fill_steps.h).
#include <algorithm>
#include <cstring>

#include "ops/movement/fill_steps.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

int64_t SourceIndex(PadMode mode, int64_t position, int64_t n) {
  switch (mode) {
    case PadMode::kConstant:
    case PadMode::kEdge: return std::clamp<int64_t>(position, 0, n - 1);
    case PadMode::kWrap: return (position % n + n) % n;
    case PadMode::kReflect: {
      if (n == 1) return 0;
      const int64_t period = 2 * (n - 1);
      const int64_t p = (position % period + period) % period;
      return p < n ? p : period - p;
    }
  }
  return 0;
}

template <typename T>
void PadConstant(const PadParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  T value{};
  if (args.has_input(1)) std::memcpy(&value, args.inputs[1].data, sizeof(T));
  auto* dst = static_cast<T*>(out.data);
  ParallelBlocks(args.parallel, out.elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) { std::fill(dst + begin, dst + end, value); });
  const Shape in_strides = RowMajorStrides(in.shape);
  const Shape out_strides = RowMajorStrides(out.shape);
  StridedCopy copy;
  for (int i = 0; i < params.rank; ++i) {
    const PadAxis axis = ResolvePad(params, args, i);
    copy.AddAxis(std::min(axis.window, out.shape[i] - std::min(axis.begin, out.shape[i])),
                 in_strides[i], out_strides[i]);
    copy.src_offset += axis.low * in_strides[i];
    copy.dst_offset += axis.begin * out_strides[i];
  }
  copy.Run(sizeof(T), in.data, out.data, args.parallel);
}

template <typename T>
void PadByIndex(const PadParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const auto* src = static_cast<const T*>(in.data);
  auto* dst = static_cast<T*>(out.data);
  const Shape in_strides = RowMajorStrides(in.shape);
  std::array<PadAxis, kMaxRank> axes{};
  for (int i = 0; i < params.rank; ++i) axes[static_cast<size_t>(i)] = ResolvePad(params, args, i);
  const auto source = [&](int i, int64_t k) {
    const PadAxis& axis = axes[static_cast<size_t>(i)];
    return axis.low + SourceIndex(params.mode, k - axis.begin, axis.window);
  };
  const int last = params.rank - 1;
  const int64_t row = out.shape[last];
  ParallelBlocks(args.parallel, out.shape.elements(0, last), row > 0 ? kElementsPerTask / row : 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = begin; r < end; ++r) {
                     int64_t base = 0, rest = r;
                     for (int i = last - 1; i >= 0; --i) {
                       base += source(i, rest % out.shape[i]) * in_strides[i];
                       rest /= out.shape[i];
                     }
                     for (int64_t k = 0; k < row; ++k)
                       dst[r * row + k] = src[base + source(last, k)];
                   }
                 });
}

template <typename T>
Status RunTyped(const PadParams& params, const RunArgs& args) {
  if (args.outputs[0].elements() == 0) return OkStatus();
  if (params.mode == PadMode::kConstant || params.rank == 0) {
    PadConstant<T>(params, args);
  } else {
    PadByIndex<T>(params, args);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const PadParams params, ReadPad(spec));
  switch (BytesPerElement(spec.inputs[0].dtype)) {
    case 1: return MakeKernel(params, CheckPad, RunTyped<uint8_t>);
    case 2: return MakeKernel(params, CheckPad, RunTyped<uint16_t>);
    case 4: return MakeKernel(params, CheckPad, RunTyped<uint32_t>);
    default: return MakeKernel(params, CheckPad, RunTyped<uint64_t>);
  }
}

}  // namespace

extern const KernelDef pad_ref = {
    .id = "pad_ref.1", .op = "Pad", .reference = true, .bind = {Bind, kNarrowToo}};

}  // namespace fusee::ops
