// Pad. A negative pad first crops the operand to a window of n elements per axis; position p of the
// result, counted from the window's start, then reads
//   edge     clamp(p, 0, n-1)
//   wrap     p mod n
//   reflect  p mod 2(n-1), folded back at n-1, so that the border itself is not repeated
//   constant the window where it has p, else the constant
#include <algorithm>
#include <cstring>

#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {
namespace {

enum class Mode : uint8_t { kConstant, kReflect, kEdge, kWrap };

struct Params {
  int rank = 0;
  Mode mode = Mode::kConstant;
};

// Keeps sums of a dimension and two pads far from overflow.
constexpr int64_t kMaxPad = int64_t{1} << 48;

struct Axis {
  int64_t begin = 0;   // elements before the window in the result, if positive
  int64_t low = 0;     // first element of the window in the operand
  int64_t window = 0;  // elements in the window
};

Axis Resolve(int64_t size, int64_t before, int64_t after) {
  const int64_t low = std::max<int64_t>(-before, 0);
  const int64_t high = size - std::max<int64_t>(-after, 0);
  return {std::max<int64_t>(before, 0), low, std::max<int64_t>(high - low, 0)};
}

Axis ResolveAxis(const Params& params, const RunArgs& args, int i) {
  const auto a = static_cast<size_t>(i);
  return Resolve(args.inputs[0].shape[i], args.dims[a],
                 args.dims[static_cast<size_t>(params.rank) + a]);
}

int64_t SourceIndex(Mode mode, int64_t position, int64_t n) {
  switch (mode) {
    case Mode::kConstant:
    case Mode::kEdge: return std::clamp<int64_t>(position, 0, n - 1);
    case Mode::kWrap: return (position % n + n) % n;
    case Mode::kReflect: {
      if (n == 1) return 0;
      const int64_t period = 2 * (n - 1);
      const int64_t p = (position % period + period) % period;
      return p < n ? p : period - p;
    }
  }
  return 0;
}

Status Check(const Params& params, const RunArgs& args) {
  Shape want = args.inputs[0].shape;
  if (want.rank() != params.rank) return InvalidArgument("Pad: the operand has another rank");
  for (int64_t pad : args.dims) {
    if (pad < -kMaxPad || pad > kMaxPad) {
      return InvalidArgument("Pad: pad " + std::to_string(pad) + " is out of range");
    }
  }
  bool empty = false;
  for (int i = 0; i < params.rank; ++i) {
    const auto a = static_cast<size_t>(i);
    want[i] += args.dims[a] + args.dims[static_cast<size_t>(params.rank) + a];
    if (want[i] < 0) return InvalidArgument("Pad: the pads crop more than there is");
    empty = empty || want[i] == 0;
  }
  FUSEE_TRY(ExpectShape("Pad", "result", want, args.outputs[0].shape));
  if (args.has_input(1) && args.inputs[1].elements() != 1) {
    return InvalidArgument("Pad: the constant should have one element");
  }
  for (int i = 0; i < params.rank && params.mode != Mode::kConstant && !empty; ++i) {
    if (ResolveAxis(params, args, i).window == 0) {
      return InvalidArgument("Pad: axis " + std::to_string(i) + " has nothing to repeat");
    }
  }
  return OkStatus();
}

template <typename T>
void PadConstant(const Params& params, const RunArgs& args) {
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
    const Axis axis = ResolveAxis(params, args, i);
    copy.AddAxis(std::min(axis.window, out.shape[i] - std::min(axis.begin, out.shape[i])),
                 in_strides[i], out_strides[i]);
    copy.src_offset += axis.low * in_strides[i];
    copy.dst_offset += axis.begin * out_strides[i];
  }
  copy.Run(sizeof(T), in.data, out.data, args.parallel);
}

template <typename T>
void PadByIndex(const Params& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const auto* src = static_cast<const T*>(in.data);
  auto* dst = static_cast<T*>(out.data);
  const Shape in_strides = RowMajorStrides(in.shape);
  std::array<Axis, kMaxRank> axes{};
  for (int i = 0; i < params.rank; ++i) axes[static_cast<size_t>(i)] = ResolveAxis(params, args, i);
  const auto source = [&](int i, int64_t k) {
    const Axis& axis = axes[static_cast<size_t>(i)];
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
Status RunTyped(const Params& params, const RunArgs& args) {
  if (args.outputs[0].elements() == 0) return OkStatus();
  if (params.mode == Mode::kConstant || params.rank == 0) {
    PadConstant<T>(params, args);
  } else {
    PadByIndex<T>(params, args);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  Params params;
  if (!spec.inputs.empty()) params.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(CheckSignature(spec, {.max_inputs = 2, .dims = 2 * static_cast<size_t>(params.rank)}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (spec.has_input(1)) {
    FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[1], "operand and constant"));
  }
  FUSEE_TRY(const std::string mode, spec.attrs->Str("mode", "constant"));
  if (mode == "reflect")
    params.mode = Mode::kReflect;
  else if (mode == "edge")
    params.mode = Mode::kEdge;
  else if (mode == "wrap")
    params.mode = Mode::kWrap;
  else if (mode != "constant")
    return BadStep(spec, "has no mode '" + mode + "'");
  switch (BytesPerElement(spec.inputs[0].dtype)) {
    case 1: return MakeKernel(params, Check, RunTyped<uint8_t>);
    case 2: return MakeKernel(params, Check, RunTyped<uint16_t>);
    case 4: return MakeKernel(params, Check, RunTyped<uint32_t>);
    default: return MakeKernel(params, Check, RunTyped<uint64_t>);
  }
}

}  // namespace

extern const KernelDef pad_ref = {.id = "pad_ref.1", .op = "Pad", .reference = true, .bind = Bind};

}  // namespace fusee::ops
