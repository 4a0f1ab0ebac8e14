// Col2Im, plainly: each element of the image gathers what covers it, in the order of the block's
// elements; floats in double, integers modulo their type.
#include <type_traits>

#include "ops/movement/kernel_support.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

Status Resolve(const WindowAttrs& attrs, const RunArgs& args, Window* window) {
  return ResolveWindow(attrs, args.outputs[0].shape, window);
}

Status Check(const WindowAttrs& attrs, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  if (data.rank() != 3 || out.rank() != attrs.spatial + 2) {
    return InvalidArgument("Col2Im: needs an operand [N, C * block, blocks] and images");
  }
  Shape want = {data[0], data[1] / attrs.KernelElements()};
  for (const int64_t d : args.dims) want.push_back(d);
  FUSEE_TRY(ExpectShape("Col2Im", "result", want, out));
  Window window;
  FUSEE_TRY(Resolve(attrs, args, &window));
  const Shape covered = {data[0], want[1] * attrs.KernelElements(), window.OutElements()};
  return ExpectShape("Col2Im", "operand", covered, data);
}

// The place at which the block's element k lies on element `at` of the axis; -1: at none.
int64_t PlaceAt(const Window& w, size_t axis, int64_t at, int64_t k) {
  const int64_t from = at + w.pad_begin[axis] - k * w.dilation[axis];
  if (from < 0 || from % w.stride[axis] != 0) return -1;
  const int64_t place = from / w.stride[axis];
  return place < w.out[axis] ? place : -1;
}

// Sum at one element of one image's plane; `columns` is where the plane's columns begin.
template <typename Wide>
Wide Gather(const Window& w, const ConstTensorView& in, int64_t columns, const Spatial& at) {
  const int64_t places = w.OutElements();
  Wide sum = 0;
  for (int64_t kd = 0; kd < w.kernel[0]; ++kd) {
    const int64_t d = PlaceAt(w, 0, at[0], kd);
    if (d < 0) continue;
    for (int64_t kh = 0; kh < w.kernel[1]; ++kh) {
      const int64_t h = PlaceAt(w, 1, at[1], kh);
      if (h < 0) continue;
      for (int64_t kw = 0; kw < w.kernel[2]; ++kw) {
        const int64_t v = PlaceAt(w, 2, at[2], kw);
        if (v < 0) continue;
        const int64_t row = (kd * w.kernel[1] + kh) * w.kernel[2] + kw;
        const int64_t from = columns + row * places + (d * w.out[1] + h) * w.out[2] + v;
        if constexpr (std::is_same_v<Wide, double>) {
          sum += DoubleAt(in, from);
        } else {
          sum += static_cast<Wide>(IntAt(in, from));
        }
      }
    }
  }
  return sum;
}

template <typename Wide>
void RunIn(const Window& w, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const int64_t plane = w.InElements();
  const int64_t column = w.KernelElements() * w.OutElements();
  ParallelBlocks(args.parallel, out.elements(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t rest = i % plane;
      const Spatial at = {rest / w.in[2] / w.in[1], rest / w.in[2] % w.in[1], rest % w.in[2]};
      const Wide sum = Gather<Wide>(w, in, i / plane * column, at);
      if constexpr (std::is_same_v<Wide, double>) {
        StoreDouble(out, i, sum);
      } else {
        StoreInt(out, i, static_cast<int64_t>(sum));
      }
    }
  });
}

Status Run(const WindowAttrs& attrs, const RunArgs& args) {
  Window window;
  FUSEE_TRY(Resolve(attrs, args, &window));
  if (IsFloat(args.inputs[0].dtype)) {
    RunIn<double>(window, args);
  } else {
    RunIn<uint64_t>(window, args);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.dims = spec.dim_count}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (!IsNumber(spec.inputs[0].dtype)) return BadStep(spec, "adds up numbers, not bool");
  if (spec.dim_count > static_cast<size_t>(kMaxSpatial)) return BadStep(spec, "has too many axes");
  auto window = ParseWindow(*spec.attrs, static_cast<int>(spec.dim_count));
  if (!window.ok()) return BadStep(spec, window.status().message());
  if (window->auto_pad != AutoPad::kNone || window->ceil_mode || window->channels_last) {
    return BadStep(spec, "has pads, and channels first, and places that fit");
  }
  return MakeKernel(*window, Check, Run);
}

}  // namespace

extern const KernelDef col2im_ref = {
    .id = "col2im_ref.1", .op = "Col2Im", .reference = true, .bind = Bind};

}  // namespace fusee::ops
