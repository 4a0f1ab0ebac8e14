// ArgMax and ArgMin over operand [outer, n, inner]. A NaN is more extreme than any number, as in
// numpy.
#include "ops/reduce/lines.h"
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

template <bool kMax, typename T>
Status RunTyped(const ArgParams& params, const RunArgs& args) {
  const Lines lines(args.inputs[0].shape, params.axis);
  const int64_t n = args.inputs[0].shape[params.axis];
  const T* in = args.inputs[0].as<T>();
  int64_t* out = args.outputs[0].as<int64_t>();
  ParallelBlocks(args.parallel, lines.count, kElementsPerTask / n, [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l) {
      const T* x = in + lines.Begin(l, n);
      auto best = Comparable(x[0]);
      int64_t at = 0;
      for (int64_t i = 1; i < n; ++i) {
        const auto candidate = Comparable(x[i * lines.inner]);
        const bool nan = candidate != candidate, best_nan = best != best;
        const bool better = kMax ? candidate > best : candidate < best;
        const bool equal = candidate == best || (nan && best_nan);
        if (better || (nan && !best_nan) || (equal && params.last)) {
          best = candidate;
          at = i;
        }
      }
      out[l] = at;
    }
  });
  return OkStatus();
}

template <bool kMax>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ArgParams params, ReadArg(spec));
  const DType dtype = spec.inputs[0].dtype;
  if (!IsNumber(dtype)) return BadStep(spec, "is not defined for " + std::string(DTypeName(dtype)));
  return VisitNumber(dtype,
                     [&]<typename T>() { return MakeKernel(params, CheckArg, RunTyped<kMax, T>); });
}

}  // namespace

extern const KernelDef argmax_ref = {
    .id = "argmax_ref.1", .op = "ArgMax", .reference = true, .bind = Bind<true>};
extern const KernelDef argmin_ref = {
    .id = "argmin_ref.1", .op = "ArgMin", .reference = true, .bind = Bind<false>};

}  // namespace fusee::ops
