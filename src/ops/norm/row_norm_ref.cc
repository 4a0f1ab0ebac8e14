// Reference LayerNormalization and RMSNormalization: two passes in double.
#include <cmath>

#include "ops/nn/element.h"
#include "ops/norm/norm.h"

namespace fusee::ops {

namespace {

struct RowStats {
  double mean = 0;
  double inv_std = 0;
};

template <typename T>
RowStats StatsOf(const RowNormParams& p, const void* x, int64_t base, int64_t count) {
  RowStats s;
  if (!p.rms) {
    for (int64_t j = 0; j < count; ++j) s.mean += LoadDouble<T>(x, base + j);
    s.mean /= static_cast<double>(count);
  }
  double sum = 0;
  for (int64_t j = 0; j < count; ++j) {
    const double d = LoadDouble<T>(x, base + j) - s.mean;
    sum += d * d;
  }
  s.inv_std = 1 / std::sqrt(sum / static_cast<double>(count) + p.epsilon);
  return s;
}

class RowNormRef final : public BoundKernel {
 public:
  explicit RowNormRef(RowNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckRowNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(args); });
  }

 private:
  template <typename T>
  Status RunTyped(const RunArgs& args) const {
    const Shape& shape = args.inputs[0].shape;
    const int64_t count = shape.elements(params_.axis, shape.rank());
    const bool has_bias = args.has_input(2);
    const RowOperand scale = RowOperandOf(params_, shape, args.inputs[1].shape);
    const RowOperand bias =
        has_bias ? RowOperandOf(params_, shape, args.inputs[2].shape) : RowOperand();
    args.parallel->Run(shape.elements(0, params_.axis), [&](int64_t row) {
      const int64_t base = row * count;
      const RowStats s = StatsOf<T>(params_, args.inputs[0].data, base, count);
      for (int64_t j = 0; j < count; ++j) {
        double y = (LoadDouble<T>(args.inputs[0].data, base + j) - s.mean) * s.inv_std;
        y *= LoadDouble<T>(args.inputs[1].data, scale.Index(j));
        if (has_bias) y += LoadDouble<T>(args.inputs[2].data, bias.Index(j));
        StoreElement(args.outputs[0].data, base + j, RoundTo<T>(y));
      }
      if (args.outputs.size() > 1 && args.outputs[1].present())
        StoreDouble(args.outputs[1], row, s.mean);
      if (args.outputs.size() > 2 && args.outputs[2].present())
        StoreDouble(args.outputs[2], row, s.inv_std);
    });
    return OkStatus();
  }

  RowNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(RowNormParams params, ParseRowNorm(spec));
  return std::unique_ptr<BoundKernel>(new RowNormRef(params));
}

}  // namespace

extern const KernelDef layernorm_ref = {.id = "layernorm_ref.1",
                                        .op = "LayerNormalization",
                                        .reference = true,
                                        .in_place_inputs = 1,
                                        .bind = Bind};
extern const KernelDef rmsnorm_ref = {.id = "rmsnorm_ref.1",
                                      .op = "RMSNormalization",
                                      .reference = true,
                                      .in_place_inputs = 1,
                                      .bind = Bind};

}  // namespace fusee::ops
