// Reductions, plainly: one result at a time, its elements in row-major order. Floats accumulate in
// double and round once; integers accumulate in 64 bits, modulo 2^64 like the standard's own types.
// Over nothing: sums 0, product 1, maximum the lowest value (-inf), minimum the highest, mean NaN.
#include <cmath>
#include <limits>

#include "ops/reduce/reduce.h"
#include "tensor/math.h"

namespace fusee::ops {
namespace {

// Element types as they lie in memory, and what they accumulate in.
template <typename T>
struct Wide {
  using Type = std::conditional_t<std::is_same_v<T, uint64_t>, uint64_t, int64_t>;
  static Type Load(T x) { return static_cast<Type>(x); }
  static T Store(Type x) { return static_cast<T>(x); }
  static T StoreDouble(double x) {
    if (!(x > -9.2e18 && x < 9.2e18)) return std::numeric_limits<T>::lowest();
    return static_cast<T>(static_cast<int64_t>(x));
  }
  static constexpr Type Lowest() { return static_cast<Type>(std::numeric_limits<T>::lowest()); }
  static constexpr Type Highest() { return static_cast<Type>(std::numeric_limits<T>::max()); }
};
template <typename T>
struct WideFloat {
  using Type = double;
  static double Load(T x) { return static_cast<float>(x); }
  static constexpr double Lowest() { return -std::numeric_limits<double>::infinity(); }
  static constexpr double Highest() { return std::numeric_limits<double>::infinity(); }
};
template <>
struct Wide<float> : WideFloat<float> {
  static float Store(double x) { return static_cast<float>(x); }
  static float StoreDouble(double x) { return Store(x); }
};
template <>
struct Wide<double> : WideFloat<double> {
  static double Load(double x) { return x; }
  static double Store(double x) { return x; }
  static double StoreDouble(double x) { return x; }
};
template <>
struct Wide<Half> : WideFloat<Half> {
  static Half Store(double x) { return HalfFromDouble(x); }
  static Half StoreDouble(double x) { return Store(x); }
};
template <>
struct Wide<BFloat16> : WideFloat<BFloat16> {
  static BFloat16 Store(double x) { return BFloat16FromDouble(x); }
  static BFloat16 StoreDouble(double x) { return Store(x); }
};

// Unsigned arithmetic wraps where signed overflow would be undefined.
inline double AddWrap(double a, double b) { return a + b; }
inline double MulWrap(double a, double b) { return a * b; }
inline int64_t AddWrap(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t MulWrap(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
inline uint64_t AddWrap(uint64_t a, uint64_t b) { return a + b; }
inline uint64_t MulWrap(uint64_t a, uint64_t b) { return a * b; }
inline double Magnitude(double a) { return a < 0 ? -a : (a == 0 ? 0.0 : a); }
inline int64_t Magnitude(int64_t a) { return a < 0 ? MulWrap(a, int64_t{-1}) : a; }
inline uint64_t Magnitude(uint64_t a) { return a; }

enum class Op : uint8_t {
  kSum,
  kMean,
  kMax,
  kMin,
  kProd,
  kL1,
  kL2,
  kLogSum,
  kLogSumExp,
  kSumSquare
};

// Some axes of a tensor, in row-major order: the reduced ones, or the ones that are kept.
struct Walk {
  int axes = 0;
  std::array<int64_t, kMaxRank> size{};
  std::array<int64_t, kMaxRank> stride{};
  int64_t count = 1;

  // Of the k-th element, from the first.
  int64_t Offset(int64_t k) const {
    int64_t at = 0;
    for (int a = axes - 1; a >= 0; --a) {
      const auto i = static_cast<size_t>(a);
      at += k % size[i] * stride[i];
      k /= size[i];
    }
    return at;
  }
  template <typename Visit>
  void ForEach(int64_t base, Visit&& visit) const {
    for (int64_t k = 0; k < count; ++k) visit(base + Offset(k));
  }
};

template <Op op, typename T>
T ReduceOne(const T* data, int64_t base, const Walk& walk) {
  using W = Wide<T>;
  using Type = typename W::Type;
  if constexpr (op == Op::kLogSumExp) {
    // Shifted by the maximum, so that exp cannot overflow.
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    walk.ForEach(base, [&](int64_t i) {
      const auto x = static_cast<double>(W::Load(data[i]));
      if (x > top || x != x) top = x;
    });
    const double infinity = std::numeric_limits<double>::infinity();
    if (top != top || top == infinity || top == -infinity) return W::StoreDouble(top);
    walk.ForEach(base,
                 [&](int64_t i) { sum += math::Exp(static_cast<double>(W::Load(data[i])) - top); });
    return W::StoreDouble(top + math::Log(sum));
  } else {
    Type acc = op == Op::kProd  ? Type{1}
               : op == Op::kMax ? W::Lowest()
               : op == Op::kMin ? W::Highest()
                                : Type{0};
    walk.ForEach(base, [&](int64_t i) {
      const Type x = W::Load(data[i]);
      if constexpr (op == Op::kProd)
        acc = MulWrap(acc, x);
      else if constexpr (op == Op::kMax)
        acc = (acc >= x || acc != acc) ? acc : x;  // NaN stays
      else if constexpr (op == Op::kMin)
        acc = (acc <= x || acc != acc) ? acc : x;
      else if constexpr (op == Op::kL1)
        acc = AddWrap(acc, Magnitude(x));
      else if constexpr (op == Op::kL2 || op == Op::kSumSquare)
        acc = AddWrap(acc, MulWrap(x, x));
      else
        acc = AddWrap(acc, x);
    });
    if constexpr (op == Op::kMean)
      return W::StoreDouble(static_cast<double>(acc) / static_cast<double>(walk.count));
    else if constexpr (op == Op::kL2)
      return W::StoreDouble(std::sqrt(static_cast<double>(acc)));
    else if constexpr (op == Op::kLogSum)
      return W::StoreDouble(math::Log(static_cast<double>(acc)));
    else
      return W::Store(acc);
  }
}

template <Op op, typename T>
Status RunTyped(const ReduceParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const Shape strides = RowMajorStrides(in.shape);
  Walk kept, reduced;
  for (int i = 0; i < params.rank; ++i) {
    Walk& walk = params.reduced[static_cast<size_t>(i)] ? reduced : kept;
    const auto a = static_cast<size_t>(walk.axes++);
    walk.size[a] = in.shape[i];
    walk.stride[a] = strides[i];
    walk.count *= in.shape[i];
  }
  const T* data = in.as<T>();
  T* out = args.outputs[0].as<T>();
  const int64_t grain = kElementsPerTask / std::max<int64_t>(reduced.count, 1);
  ParallelBlocks(args.parallel, kept.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) out[k] = ReduceOne<op, T>(data, kept.Offset(k), reduced);
  });
  return OkStatus();
}

// One signed and one unsigned type of each width are enough for the compiler to share code; bool is
// a byte of 0 or 1 for the maximum and minimum, the only reductions that take it.
template <Op op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ReduceParams params, ReadReduce(spec));
  const auto make = [&]<typename T>() { return MakeKernel(params, CheckReduce, RunTyped<op, T>); };
  const DType dtype = spec.inputs[0].dtype;
  if constexpr (op == Op::kMax || op == Op::kMin) {
    if (dtype == DType::kBool) return make.template operator()<bool>();
  }
  if (!IsNumber(dtype)) return BadStep(spec, "is not defined for " + std::string(DTypeName(dtype)));
  return VisitNumber(dtype, make);
}

}  // namespace

extern const KernelDef reduce_sum_ref = {
    .id = "reduce_sum_ref.1", .op = "ReduceSum", .reference = true, .bind = Bind<Op::kSum>};
extern const KernelDef reduce_mean_ref = {
    .id = "reduce_mean_ref.1", .op = "ReduceMean", .reference = true, .bind = Bind<Op::kMean>};
extern const KernelDef reduce_max_ref = {
    .id = "reduce_max_ref.1", .op = "ReduceMax", .reference = true, .bind = Bind<Op::kMax>};
extern const KernelDef reduce_min_ref = {
    .id = "reduce_min_ref.1", .op = "ReduceMin", .reference = true, .bind = Bind<Op::kMin>};
extern const KernelDef reduce_prod_ref = {
    .id = "reduce_prod_ref.1", .op = "ReduceProd", .reference = true, .bind = Bind<Op::kProd>};
extern const KernelDef reduce_l1_ref = {
    .id = "reduce_l1_ref.1", .op = "ReduceL1", .reference = true, .bind = Bind<Op::kL1>};
extern const KernelDef reduce_l2_ref = {
    .id = "reduce_l2_ref.1", .op = "ReduceL2", .reference = true, .bind = Bind<Op::kL2>};
extern const KernelDef reduce_log_sum_ref = {.id = "reduce_log_sum_ref.1",
                                             .op = "ReduceLogSum",
                                             .reference = true,
                                             .bind = Bind<Op::kLogSum>};
extern const KernelDef reduce_log_sum_exp_ref = {.id = "reduce_log_sum_exp_ref.1",
                                                 .op = "ReduceLogSumExp",
                                                 .reference = true,
                                                 .bind = Bind<Op::kLogSumExp>};
extern const KernelDef reduce_sum_square_ref = {.id = "reduce_sum_square_ref.1",
                                                .op = "ReduceSumSquare",
                                                .reference = true,
                                                .bind = Bind<Op::kSumSquare>};

}  // namespace fusee::ops
