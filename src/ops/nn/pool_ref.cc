// Reference pooling: every window element by element, sums in double.
#include <cmath>
#include <limits>

#include "ops/nn/element.h"
#include "ops/nn/pool.h"
#include "tensor/math.h"

namespace fusee::ops {

namespace {

// Calls visit(flat position in the plane) for every element of the window at `at` that lies inside
// the input.
template <typename Visit>
void VisitWindow(const Window& w, const Spatial& at, Visit&& visit) {
  for (int64_t kd = 0; kd < w.kernel[0]; ++kd) {
    const int64_t d = at[0] * w.stride[0] + kd * w.dilation[0] - w.pad_begin[0];
    if (d < 0 || d >= w.in[0]) continue;
    for (int64_t kh = 0; kh < w.kernel[1]; ++kh) {
      const int64_t h = at[1] * w.stride[1] + kh * w.dilation[1] - w.pad_begin[1];
      if (h < 0 || h >= w.in[1]) continue;
      for (int64_t kw = 0; kw < w.kernel[2]; ++kw) {
        const int64_t column = at[2] * w.stride[2] + kw * w.dilation[2] - w.pad_begin[2];
        if (column >= 0 && column < w.in[2]) visit((d * w.in[1] + h) * w.in[2] + column);
      }
    }
  }
}

// One plane of x, in whichever layout.
template <typename T>
struct Plane {
  const void* x;
  int64_t start, stride;
  double operator[](int64_t position) const { return LoadDouble<T>(x, start + position * stride); }
};

template <typename T>
void MaxAt(const PoolParams& p, const Window& w, const RunArgs& args, const Plane<T>& x,
           const Spatial& at, int64_t out) {
  double best = -std::numeric_limits<double>::infinity();
  if constexpr (std::is_integral_v<T>) best = static_cast<double>(std::numeric_limits<T>::lowest());
  int64_t where = -1;
  VisitWindow(w, at, [&](int64_t position) {
    const double v = x[position];
    if (where >= 0 && !(v > best) && !(v != v && best == best)) return;
    best = v;
    where = position;
  });
  StoreElement(args.outputs[0].data, out, RoundTo<T>(best));
  if (args.outputs.size() < 2 || !args.outputs[1].present()) return;
  if (where >= 0 && p.column_major) {
    const int64_t column = where % w.in[2];
    const int64_t row = where / w.in[2] % w.in[1];
    const int64_t depth = where / w.in[2] / w.in[1];
    // The first spatial axis of the tensor runs fastest; axes that it lacks have size 1.
    where = depth + w.in[0] * (row + w.in[1] * column);
  }
  // Indices exist in NCHW only, where x.start is the plane's flat position.
  StoreElement(args.outputs[1].data, out, where < 0 ? int64_t{-1} : x.start + where);
}

template <typename T>
void AverageAt(const PoolParams& p, const Window& w, const RunArgs& args, const Plane<T>& x,
               const Spatial& at, int64_t out) {
  double sum = 0;
  VisitWindow(w, at, [&](int64_t position) { sum += x[position]; });
  const int64_t divisor = AverageDivisor(w, p.count_include_pad, at);
  StoreElement(args.outputs[0].data, out,
               RoundTo<T>(divisor == 0 ? 0 : sum / static_cast<double>(divisor)));
}

// (sum of |x|^p)^(1/p)
template <typename T>
void LpAt(const PoolParams& p, const Window& w, const RunArgs& args, const Plane<T>& x,
          const Spatial& at, int64_t out) {
  const double power = static_cast<double>(p.lp);
  double sum = 0;
  VisitWindow(w, at, [&](int64_t position) {
    const double v = std::fabs(x[position]);
    sum += p.lp == 1 ? v : p.lp == 2 ? v * v : math::Pow(v, power);
  });
  const double root = p.lp == 1 ? sum : p.lp == 2 ? std::sqrt(sum) : math::Pow(sum, 1 / power);
  StoreElement(args.outputs[0].data, out, RoundTo<T>(root));
}

class PoolRef final : public BoundKernel {
 public:
  explicit PoolRef(PoolParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckPool(params_, args); }
  Status Run(const RunArgs& args) const override {
    if (params_.dtype == DType::kI8) return RunTyped<int8_t>(args);
    if (params_.dtype == DType::kU8) return RunTyped<uint8_t>(args);
    return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(args); });
  }

 private:
  template <typename T>
  Status RunTyped(const RunArgs& args) const {
    PoolShape s;
    FUSEE_TRY(PoolGeometry(params_, args.inputs[0].shape, &s));
    const Window& w = s.window;
    args.parallel->Run(s.planes, [&](int64_t plane) {
      Spatial at;
      const int64_t stride = s.ElementStride();
      const Plane<T> x{args.inputs[0].data, s.PlaneStart(plane, w.InElements()), stride};
      int64_t out = s.PlaneStart(plane, w.OutElements());
      for (at[0] = 0; at[0] < w.out[0]; ++at[0]) {
        for (at[1] = 0; at[1] < w.out[1]; ++at[1]) {
          for (at[2] = 0; at[2] < w.out[2]; ++at[2], out += stride) {
            if (params_.max) {
              MaxAt<T>(params_, w, args, x, at, out);
            } else if (params_.lp != 0) {
              LpAt<T>(params_, w, args, x, at, out);
            } else {
              AverageAt<T>(params_, w, args, x, at, out);
            }
          }
        }
      }
    });
    return OkStatus();
  }

  PoolParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(PoolParams params, ParsePool(spec));
  return std::unique_ptr<BoundKernel>(new PoolRef(params));
}

}  // namespace

extern const KernelDef maxpool_ref = {
    .id = "maxpool_ref.1", .op = "MaxPool", .reference = true, .bind = Bind};
extern const KernelDef averagepool_ref = {
    .id = "averagepool_ref.1", .op = "AveragePool", .reference = true, .bind = Bind};
extern const KernelDef lppool_ref = {
    .id = "lppool_ref.1", .op = "LpPool", .reference = true, .bind = Bind};
extern const KernelDef globalaveragepool_ref = {
    .id = "globalaveragepool_ref.1", .op = "GlobalAveragePool", .reference = true, .bind = Bind};
extern const KernelDef globalmaxpool_ref = {
    .id = "globalmaxpool_ref.1", .op = "GlobalMaxPool", .reference = true, .bind = Bind};

}  // namespace fusee::ops
