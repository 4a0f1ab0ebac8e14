// Reference attention: a whole row of scores in double, then softmax, then the weighted sum of v,
// keys ascending.
#include <algorithm>
#include <limits>

#include "base/checked_math.h"
#include "ops/nn/attention.h"
#include "ops/nn/element.h"
#include "tensor/math.h"

namespace fusee::ops {

namespace {

constexpr int64_t kMaxLanes = 64;  // rows at once; each has its own scores

class AttentionRef final : public BoundKernel {
 public:
  explicit AttentionRef(AttentionParams params) : params_(params) {}

  size_t workspace_bytes() const override { return workspace_bytes_; }

  Status SizeWorkspace(const StepSpec& spec) {
    const Shape& q = spec.inputs[0].max_shape;
    AttentionShape s;
    FUSEE_TRY(AttentionGeometry(params_, q, params_.packed ? q : spec.inputs[1].max_shape,
                                params_.packed ? q : spec.inputs[2].max_shape, &s));
    int64_t bytes = 0;
    const int64_t dims[] = {Doubles(s), kMaxLanes, 8};
    if (!CheckedProduct(dims, &bytes) || bytes >= (int64_t{1} << 40))
      return ResourceExhausted("FusedAttention: the workspace does not fit in memory");
    lane_doubles_ = Doubles(s);
    workspace_bytes_ = static_cast<size_t>(bytes);
    return OkStatus();
  }

  Status CheckShapes(const RunArgs& args) const override {
    AttentionShape s;
    FUSEE_TRY(CheckAttention(params_, args, &s));
    if (Doubles(s) > lane_doubles_) {
      return OutOfRange(
          "FusedAttention: shapes above the profile that the workspace was sized for");
    }
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    AttentionShape s;
    FUSEE_TRY(CheckAttention(params_, args, &s));
    return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(args, s); });
  }

 private:
  static int64_t Doubles(const AttentionShape& s) { return s.seq_k + s.dim_v; }

  template <typename T>
  Status RunTyped(const RunArgs& args, const AttentionShape& s) const {
    const int64_t rows = s.batch * s.seq_q * s.heads;  // in this order: zero before it overflows
    const int64_t lanes = std::min(rows, kMaxLanes);
    args.parallel->Run(lanes, [&](int64_t lane) {
      double* scores = reinterpret_cast<double*>(args.workspace.data()) + lane * lane_doubles_;
      for (int64_t row = lane; row < rows; row += lanes) {
        Row<T>(args, s, row / s.seq_q / s.heads, row / s.seq_q % s.heads, row % s.seq_q, scores);
      }
    });
    return OkStatus();
  }

  template <typename T>
  void Row(const RunArgs& args, const AttentionShape& s, int64_t b, int64_t h, int64_t i,
           double* scores) const {
    const void* q = args.inputs[0].data;
    const void* k = params_.packed ? q : args.inputs[1].data;
    const void* v = params_.packed ? q : args.inputs[2].data;
    double max = -std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < s.seq_k; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < s.dim; ++d)
        dot += LoadDouble<T>(q, s.Query(b, h, i) + d) * LoadDouble<T>(k, s.Key(b, h, j) + d);
      scores[j] = params_.scale * dot;
      if (args.has_input(3)) scores[j] += DoubleAt(args.inputs[3], s.Bias(b, h, i) + j * s.bias[3]);
      if (!(scores[j] <= max)) max = scores[j];  // NaN stays
    }
    double* y = scores + s.seq_k;
    std::fill(y, y + s.dim_v, 0.0);
    double sum = 0;
    for (int64_t j = 0; j < s.seq_k; ++j) {
      const double weight = math::Exp(scores[j] - max);
      sum += weight;
      for (int64_t d = 0; d < s.dim_v; ++d)
        y[d] += weight * LoadDouble<T>(v, s.ValueAt(b, h, j) + d);
    }
    const bool zero = s.seq_k == 0 || (params_.zero_nan_rows && sum != sum);
    for (int64_t d = 0; d < s.dim_v; ++d) {
      StoreElement(args.outputs[0].data, s.Result(b, h, i) + d, RoundTo<T>(zero ? 0 : y[d] / sum));
    }
  }

  AttentionParams params_;
  int64_t lane_doubles_ = 0;
  size_t workspace_bytes_ = 0;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(AttentionParams params, ParseAttention(spec));
  auto kernel = std::make_unique<AttentionRef>(params);
  FUSEE_TRY(kernel->SizeWorkspace(spec));
  return std::unique_ptr<BoundKernel>(std::move(kernel));
}

}  // namespace

extern const KernelDef attention_ref = {
    .id = "attention_ref.1", .op = "FusedAttention", .reference = true, .bind = Bind};

}  // namespace fusee::ops
