// Makes a float32 graph compute in float16 or bfloat16 wherever that is safe. Sums, norms and
// softmax accumulate in float32 inside their kernels whatever the storage; what stays float32 as a
// whole is what 16 bits cannot hold:
//
//   - values whose measured magnitude, times a headroom, leaves the type's range;
//   - operators that turn small errors of their operand into large ones, or overflow in between:
//     exponentials outside Softmax, powers, reciprocals, roots, sums of squares (kSensitive in the
//     source);
//   - nodes with a scalar constant that the type cannot hold (an epsilon of 1e-12, a mask of
//   -1e38).
//
// Casts stand at the borders. Graph inputs and outputs keep their types. Weights of converted nodes
// are rounded to nearest even once, here. Deterministic: decisions depend on graph and ranges only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"

namespace fusee::quant {

// The largest magnitude seen of a value, by its name. A value that is missing counts as harmless.
using Magnitudes = std::map<std::string, double, std::less<>>;

struct PrecisionOptions {
  DType dtype = DType::kF16;  // kF16 or kBF16
  Magnitudes magnitudes;
  // Measured magnitudes are of a few inputs; others may be larger by this much.
  double headroom = 8;
};

// One node that stayed float32, and why.
struct KeptNode {
  std::string node;  // DescribeNode
  std::string reason;
};

struct PrecisionReport {
  int64_t converted = 0;  // nodes that now compute in the type
  int64_t casts = 0;      // inserted at borders
  std::vector<KeptNode> kept;
};

// Rewrites the graph. Errors: kInvalidArgument (the type); kInternal (a rule of inference broke).
Result<PrecisionReport> ConvertPrecision(ir::Graph& graph, const PrecisionOptions& options);

}  // namespace fusee::quant
