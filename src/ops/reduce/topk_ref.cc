// TopK by insertion into the result itself: an element is compared with the worst one kept, and
// moved up if better. Cost: n comparisons and about k ln(n/k) insertions of up to k moves on data
// in random order; k*n on data in the worst one. NaN counts as larger than every number.
#include "ops/reduce/lines.h"
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

template <typename T>
bool Before(T a, T b, bool largest) {
  const auto x = Comparable(a), y = Comparable(b);
  const bool x_nan = x != x, y_nan = y != y;
  if (x_nan || y_nan) return largest ? x_nan && !y_nan : y_nan && !x_nan;
  return largest ? x > y : x < y;
}

template <typename T>
Status RunTyped(const TopKParams& params, const RunArgs& args) {
  const Lines lines(args.inputs[0].shape, params.axis);
  const int64_t n = args.inputs[0].shape[params.axis], k = args.dims[0];
  const int64_t inner = lines.inner;
  if (k == 0) return OkStatus();
  ParallelBlocks(args.parallel, lines.count, kElementsPerTask / n, [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l) {
      const T* x = args.inputs[0].as<T>() + lines.Begin(l, n);
      T* values = args.outputs[0].as<T>() + lines.Begin(l, k);
      int64_t* indices = args.outputs[1].as<int64_t>() + lines.Begin(l, k);
      int64_t kept = 0;
      for (int64_t j = 0; j < n; ++j) {
        const T candidate = x[j * inner];
        if (kept == k && !Before(candidate, values[(k - 1) * inner], params.largest)) continue;
        int64_t at = kept < k ? kept++ : k - 1;
        for (; at > 0 && Before(candidate, values[(at - 1) * inner], params.largest); --at) {
          values[at * inner] = values[(at - 1) * inner];
          indices[at * inner] = indices[(at - 1) * inner];
        }
        values[at * inner] = candidate;
        indices[at * inner] = j;
      }
    }
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const TopKParams params, ReadTopK(spec));
  if (!IsNumber(spec.inputs[0].dtype)) return BadStep(spec, "is not defined for bool");
  return VisitNumber(spec.inputs[0].dtype,
                     [&]<typename T>() { return MakeKernel(params, CheckTopK, RunTyped<T>); });
}

}  // namespace

extern const KernelDef topk_ref = {
    .id = "topk_ref.1", .op = "TopK", .reference = true, .bind = Bind};

}  // namespace fusee::ops
