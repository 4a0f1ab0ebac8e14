// Transpose: result dimension i is operand dimension perm[i].
#include <numeric>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferTranspose(InferContext& context) {
  FUSEE_TRY(const std::vector<int64_t> perm, context.attrs().Ints("perm"));
  const ir::SymShape& shape = context.shape(0);
  std::vector<bool> used(shape.size(), false);
  if (perm.size() != shape.size()) return context.Error("perm has another length than the rank");
  ir::SymShape out;
  for (int64_t p : perm) {
    if (p < 0 || p >= context.rank(0) || used[static_cast<size_t>(p)]) {
      return context.Error("perm is not a permutation of the axes");
    }
    used[static_cast<size_t>(p)] = true;
    out.push_back(shape[static_cast<size_t>(p)]);
  }
  context.SetOutput(0, context.dtype(0), out);
  const auto known = KnownElements(context, 0);
  if (known && IsTrackable(context.dtype(0), out)) {
    context.outputs()[0].elements =
        MapElements(out, [&](std::span<const int64_t> index) -> std::optional<ir::Dim> {
          std::vector<int64_t> source(index.size());
          for (size_t i = 0; i < index.size(); ++i) source[static_cast<size_t>(perm[i])] = index[i];
          return (*known)[FlatIndex(shape, source)];
        });
  }
  return OkStatus();
}

Status ImportTranspose(ImportContext& context) {
  std::vector<int64_t> reversed(static_cast<size_t>(context.rank(0)));
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  FUSEE_TRY(std::vector<int64_t> perm, context.Ints("perm", reversed));
  return context.EmitAs("Transpose", {{"perm", std::move(perm)}});
}

}  // namespace

OpDef DefineTranspose() {
  return {.name = "Transpose",
          .infer = InferTranspose,
          .imports = {{"Transpose", 1, 1 << 20, ImportTranspose}},
          .narrow = true};
}

}  // namespace fusee::ops
