// Reference SkipLayerNormalization: two passes over the sum in double.
#include <cmath>

#include "ops/nn/element.h"
#include "ops/norm/skip_norm.h"

namespace fusee::ops {

namespace {

class SkipNormRef final : public BoundKernel {
 public:
  explicit SkipNormRef(SkipNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckSkipNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(args); });
  }

 private:
  template <typename T>
  Status RunTyped(const RunArgs& args) const {
    const Shape& shape = args.inputs[0].shape;
    const int64_t n = shape[params_.rank - 1];
    args.parallel->Run(shape.elements(0, params_.rank - 1), [&](int64_t row) {
      const int64_t base = row * n;
      const auto sum = [&](int64_t j) {
        return LoadDouble<T>(args.inputs[0].data, base + j) +
               LoadDouble<T>(args.inputs[1].data, base + j);
      };
      double mean = 0;
      for (int64_t j = 0; j < n; ++j) mean += sum(j);
      mean /= static_cast<double>(n);
      double squares = 0;
      for (int64_t j = 0; j < n; ++j) squares += (sum(j) - mean) * (sum(j) - mean);
      const double inv_std = 1 / std::sqrt(squares / static_cast<double>(n) + params_.epsilon);
      for (int64_t j = 0; j < n; ++j) {
        const double s = sum(j);  // before y is stored, which may share x's or skip's memory
        double y = (s - mean) * inv_std * LoadDouble<T>(args.inputs[2].data, j);
        if (args.has_input(3)) y += LoadDouble<T>(args.inputs[3].data, j);
        StoreElement(args.outputs[0].data, base + j, RoundTo<T>(y));
        if (WantsSum(args)) StoreElement(args.outputs[1].data, base + j, RoundTo<T>(s));
      }
    });
    return OkStatus();
  }

  SkipNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(SkipNormParams params, ParseSkipNorm(spec));
  return std::unique_ptr<BoundKernel>(new SkipNormRef(params));
}

}  // namespace

extern const KernelDef skip_layernorm_ref = {.id = "skip_layernorm_ref.1",
                                             .op = "SkipLayerNormalization",
                                             .reference = true,
                                             .in_place_inputs = 3,
                                             .bind = Bind};

}  // namespace fusee::ops
