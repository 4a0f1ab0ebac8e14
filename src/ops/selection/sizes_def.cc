// Sizes: makes the elements of an integer vector, which only a run tells, sizes of what comes after
// it. The result is the vector again. One below 0, or above its bound, is an error of the run.
//
// Not an operator of ONNX: import rules write it where an operand says how large a result is.
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferSizes(InferContext& context) {
  if (context.input_count() != 1 || !IsInt(context.dtype(0)))
    return context.Error("needs one operand, of integers");
  const auto elements = ir::ElementCount(context.shape(0)).AsConstant();
  if (!elements || *elements < 1) return context.Error("needs a vector of a known length");
  ir::ValueInfo info{context.dtype(0), context.shape(0), std::vector<ir::Dim>()};
  for (int64_t i = 0; i < *elements; ++i) {
    FUSEE_TRY(ir::Dim count, context.Count(static_cast<size_t>(i), static_cast<size_t>(*elements)));
    info.elements->push_back(std::move(count));
  }
  context.outputs()[0] = std::move(info);
  return OkStatus();
}

}  // namespace

OpDef DefineSizes() { return {.name = "Sizes", .infer = InferSizes}; }

}  // namespace fusee::ops
