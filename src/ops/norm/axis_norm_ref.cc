// Reference Softmax, LogSoftmax and LpNormalization.
#include <cmath>
#include <limits>

#include "ops/nn/element.h"
#include "ops/norm/norm.h"
#include "tensor/math.h"

namespace fusee::ops {

namespace {

// One group: elements base, base + step, ... The maximum is subtracted first, so that exp never
// overflows.
template <typename T>
void SoftmaxGroup(const void* x, void* y, int64_t base, int64_t count, int64_t step, bool log) {
  double max = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < count; ++i) {
    const double v = LoadDouble<T>(x, base + i * step);
    if (v > max || v != v) max = v;
  }
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += math::Exp(LoadDouble<T>(x, base + i * step) - max);
  const double log_sum = log ? math::Log(sum) : 0;
  for (int64_t i = 0; i < count; ++i) {
    const double d = LoadDouble<T>(x, base + i * step) - max;
    StoreElement(y, base + i * step, RoundTo<T>(log ? d - log_sum : math::Exp(d) / sum));
  }
}

// A group of norm 0 stays 0.
template <typename T>
void LpGroup(const void* x, void* y, int64_t base, int64_t count, int64_t step, int64_t p) {
  double norm = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double v = LoadDouble<T>(x, base + i * step);
    norm += p == 1 ? std::fabs(v) : v * v;
  }
  if (p == 2) norm = std::sqrt(norm);
  for (int64_t i = 0; i < count; ++i) {
    const double v = LoadDouble<T>(x, base + i * step);
    StoreElement(y, base + i * step, RoundTo<T>(norm == 0 ? 0 : v / norm));
  }
}

class AxisNormRef final : public BoundKernel {
 public:
  explicit AxisNormRef(AxisParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckAxisNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() {
      const AxisShape s = AxisGeometry(params_, args.inputs[0].shape);
      const void* x = args.inputs[0].data;
      void* y = args.outputs[0].data;
      args.parallel->Run(s.outer, [&](int64_t outer) {
        for (int64_t inner = 0; inner < s.inner; ++inner) {
          const int64_t base = outer * s.count * s.inner + inner;
          if (params_.op == "LpNormalization") {
            LpGroup<T>(x, y, base, s.count, s.inner, params_.p);
          } else {
            SoftmaxGroup<T>(x, y, base, s.count, s.inner, params_.op == "LogSoftmax");
          }
        }
      });
      return OkStatus();
    });
  }

 private:
  AxisParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(AxisParams params, ParseAxisNorm(spec));
  return std::unique_ptr<BoundKernel>(new AxisNormRef(params));
}

}  // namespace

extern const KernelDef softmax_ref = {
    .id = "softmax_ref.1", .op = "Softmax", .reference = true, .in_place_inputs = 1, .bind = Bind};
extern const KernelDef logsoftmax_ref = {.id = "logsoftmax_ref.1",
                                         .op = "LogSoftmax",
                                         .reference = true,
                                         .in_place_inputs = 1,
                                         .bind = Bind};
extern const KernelDef lpnormalization_ref = {.id = "lpnormalization_ref.1",
                                              .op = "LpNormalization",
                                              .reference = true,
                                              .in_place_inputs = 1,
                                              .bind = Bind};

}  // namespace fusee::ops
