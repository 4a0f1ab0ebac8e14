// Parameters and checks of the operators that follow index operands: Gather, GatherElements,
// GatherND, ScatterElements and ScatterND. Kernels of every device read their steps through these.
//
// Read... says kInvalidArgument for a step that no kernel could run. Check... reads shapes only;
// the indices' values are the kernels' to check when they run.
#pragma once

#include "ops/movement/indexing.h"

namespace fusee::ops {

// result[o, j, i] = data[o, indices[j], i]
struct GatherParams {
  int data_rank = 0;
  int index_rank = 0;
  int axis = 0;
};
Result<GatherParams> ReadGather(const StepSpec& spec);
Status CheckGather(const GatherParams& params, const RunArgs& args);

struct GatherElementsParams {
  int rank = 0;
  int axis = 0;
};
Result<GatherElementsParams> ReadGatherElements(const StepSpec& spec);
Status CheckGatherElements(const GatherElementsParams& params, const RunArgs& args);

struct GatherNdParams {
  int rank = 0;
  int batch = 0;
};
Result<GatherNdParams> ReadGatherNd(const StepSpec& spec);
Status CheckGatherNd(const GatherNdParams& params, const RunArgs& args);

enum class Reduction : uint8_t { kNone, kAdd, kMul, kMax, kMin };

// Updates apply in the order of their indices, so that repeated ones have one meaning.
struct ScatterParams {
  DType dtype = DType::kInvalid;  // bool only with kNone
  int rank = 0;
  int axis = 0;  // of ScatterElements
  Reduction reduction = Reduction::kNone;
};
Result<ScatterParams> ReadScatterElements(const StepSpec& spec);
Status CheckScatterElements(const ScatterParams& params, const RunArgs& args);
Result<ScatterParams> ReadScatterNd(const StepSpec& spec);
Status CheckScatterNd(const ScatterParams& params, const RunArgs& args);

}  // namespace fusee::ops
