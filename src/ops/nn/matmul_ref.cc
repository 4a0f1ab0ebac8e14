// Reference matrix product for MatMul and Gemm: sums in double, k ascending; integers wrap as their
// type does.
#include <algorithm>
#include <type_traits>

#include "ops/nn/element.h"
#include "ops/nn/matmul.h"

namespace fusee::ops {

namespace {

constexpr int64_t kColumns = 16;  // results per inner loop, for the compiler to vectorise
constexpr int64_t kTaskColumns = 64;

// Double for floating point; a 64-bit wrapping integer otherwise, whose low bits are the narrower
// type's.
template <typename T>
using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;

template <typename T>
Sum<T> Load(const void* data, int64_t i) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(LoadRaw<T>(data, i));
  } else {
    return LoadDouble<T>(data, i);
  }
}

// Zero without one. Integers have none.
template <typename T>
double Residual(const RunArgs& args, int64_t i) {
  if constexpr (std::is_integral_v<T>) {
    return 0;
  } else {
    return args.has_input(3) ? LoadDouble<T>(args.inputs[3].data, i) : 0;
  }
}

template <typename T>
T Finish(const MatMulParams& p, Sum<T> sum, bool has_c, Sum<T> c, double residual) {
  if constexpr (std::is_integral_v<T>) {
    static_cast<void>(residual);
    if (p.alpha == 1 && p.beta == 1) return static_cast<T>(has_c ? sum + c : sum);
    // A fractional scale of integers: computed in double, truncated.
    const double scaled = p.alpha * static_cast<double>(static_cast<T>(sum));
    return static_cast<T>(static_cast<int64_t>(
        has_c ? scaled + p.beta * static_cast<double>(static_cast<T>(c)) : scaled));
  } else {
    const double scaled = p.alpha * sum;
    const double biased = has_c ? scaled + p.beta * c : scaled;
    return RoundTo<T>(ApplyActivation(p.activation, biased + residual));
  }
}

class MatMulRef final : public BoundKernel {
 public:
  explicit MatMulRef(MatMulParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckMatMul(params_, args); }
  Status Run(const RunArgs& args) const override {
    switch (params_.dtype) {
      case DType::kI32: return RunTyped<int32_t>(args);
      case DType::kI64: return RunTyped<int64_t>(args);
      case DType::kU32: return RunTyped<uint32_t>(args);
      case DType::kU64: return RunTyped<uint64_t>(args);
      default: return DispatchFloat(params_.dtype, [&]<typename T>() { return RunTyped<T>(args); });
    }
  }

 private:
  template <typename T>
  Status RunTyped(const RunArgs& args) const {
    MatMulShape s;
    Shape out;
    const ConstTensorView c = args.has_input(2) ? args.inputs[2] : ConstTensorView();
    FUSEE_TRY(MatMulGeometry(params_, args.inputs[0].shape, args.inputs[1].shape, c, &s, &out));
    const int64_t column_tasks = (s.n + kTaskColumns - 1) / kTaskColumns;
    args.parallel->Run(s.batches * s.m * column_tasks, [&](int64_t task) {
      const int64_t row = task / column_tasks % s.m;
      const int64_t batch = task / column_tasks / s.m;
      const int64_t begin = task % column_tasks * kTaskColumns;
      const int64_t end = std::min(begin + kTaskColumns, s.n);
      for (int64_t j = begin; j < end; j += kColumns) {
        Columns<T>(s, args, c, batch, row, j, std::min(kColumns, end - j));
      }
    });
    return OkStatus();
  }

  template <typename T>
  void Columns(const MatMulShape& s, const RunArgs& args, const ConstTensorView& c, int64_t batch,
               int64_t row, int64_t column, int64_t count) const {
    const int64_t a0 = s.AOffset(batch) + row * s.a_row;
    const int64_t b0 = s.BOffset(batch) + column * s.b_col;
    const void* b = args.inputs[1].data;
    Sum<T> sum[kColumns] = {};
    for (int64_t k = 0; k < s.k; ++k) {
      const Sum<T> a = Load<T>(args.inputs[0].data, a0 + k * s.a_col);
      const int64_t from = b0 + k * s.b_row;
      if (count == kColumns && s.b_col == 1) {
        for (int64_t j = 0; j < kColumns; ++j) sum[j] += a * Load<T>(b, from + j);
      } else {
        for (int64_t j = 0; j < count; ++j) sum[j] += a * Load<T>(b, from + j * s.b_col);
      }
    }
    for (int64_t j = 0; j < count; ++j) {
      const Sum<T> add =
          c.present() ? Load<T>(c.data, row * s.c_row + (column + j) * s.c_col) : Sum<T>{};
      const int64_t at = (batch * s.m + row) * s.n + column + j;
      StoreElement(args.outputs[0].data, at,
                   Finish<T>(params_, sum[j], c.present(), add, Residual<T>(args, at)));
    }
  }

  MatMulParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(MatMulParams params, ParseMatMul(spec));
  return std::unique_ptr<BoundKernel>(new MatMulRef(params));
}

}  // namespace

extern const KernelDef matmul_ref = {
    .id = "matmul_ref.1", .op = "MatMul", .reference = true, .bind = Bind};
extern const KernelDef gemm_ref = {
    .id = "gemm_ref.1", .op = "Gemm", .reference = true, .bind = Bind};

}  // namespace fusee::ops
