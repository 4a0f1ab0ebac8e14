// CumSum and CumProd over operand [outer, n, inner]. Floats accumulate in double and round at every
// store; integers wrap.
#include <type_traits>

#include "ops/movement/fill_steps.h"

namespace fusee::ops {
namespace {

// Unsigned arithmetic for every integer: it wraps, and truncation gives the same low bits.
template <bool product, typename Wide>
void Accumulate(const CumulateParams& params, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const TensorView& out = args.outputs[0];
  const int64_t n = in.shape[params.axis];
  const int64_t inner = in.shape.elements(params.axis + 1, params.rank);
  const int64_t lines = in.shape.elements(0, params.axis) * inner;
  ParallelBlocks(args.parallel, lines, n > 0 ? kElementsPerTask / n : 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t line = begin; line < end; ++line) {
                     Wide total = product ? 1 : 0;
                     for (int64_t i = 0; i < n; ++i) {
                       const int64_t step = params.reverse ? n - 1 - i : i;
                       const int64_t at = (line / inner * n + step) * inner + line % inner;
                       Wide value, next;
                       if constexpr (std::is_same_v<Wide, double>)
                         value = DoubleAt(in, at);
                       else
                         value = static_cast<Wide>(IntAt(in, at));
                       next = product ? total * value : total + value;
                       const Wide result = params.exclusive ? total : next;
                       if constexpr (std::is_same_v<Wide, double>)
                         StoreDouble(out, at, result);
                       else
                         StoreInt(out, at, static_cast<int64_t>(result));
                       total = next;
                     }
                   }
                 });
}

template <bool product>
Status Run(const CumulateParams& params, const RunArgs& args) {
  if (IsFloat(args.inputs[0].dtype)) {
    Accumulate<product, double>(params, args);
  } else {
    Accumulate<product, uint64_t>(params, args);
  }
  return OkStatus();
}

template <bool product>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const CumulateParams params, ReadCumulate(spec));
  return MakeKernel(params, CheckCumulate, Run<product>);
}

}  // namespace

extern const KernelDef cumsum_ref = {
    .id = "cumsum_ref.1", .op = "CumSum", .reference = true, .bind = Bind<false>};
extern const KernelDef cumprod_ref = {
    .id = "cumprod_ref.1", .op = "CumProd", .reference = true, .bind = Bind<true>};

}  // namespace fusee::ops
