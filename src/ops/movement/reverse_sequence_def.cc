// ReverseSequence: along the time axis the first lengths[b] elements of batch b in reverse order,
// the rest in place. Batch and time are the two leading axes, attribute time_axis (0 or 1) says
// which is which; operand 1 [batch] holds the lengths.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferReverseSequence(InferContext& context) {
  FUSEE_TRY(const int64_t time, context.attrs().Int("time_axis", 0));
  if (context.input_count() != 2 || !context.has_input(0) || !context.has_input(1)) {
    return context.Error("needs an operand and lengths");
  }
  if (time != 0 && time != 1) return context.Error("time_axis should be 0 or 1");
  if (context.rank(0) < 2) return context.Error("needs rank 2 or more");
  if (context.dtype(1) != DType::kI64 || context.rank(1) != 1) {
    return context.Error("the lengths should be a vector of i64");
  }
  FUSEE_TRY(context.RequireEqual(context.shape(0)[static_cast<size_t>(1 - time)],
                                 context.shape(1)[0], "the batch and the number of lengths"));
  context.SetOutput(0, context.dtype(0), context.shape(0));
  return OkStatus();
}

Status ImportReverseSequence(ImportContext& context) {
  FUSEE_TRY(const int64_t batch, context.Int("batch_axis", 1));
  FUSEE_TRY(const int64_t time, context.Int("time_axis", 0));
  if ((batch != 0 && batch != 1) || time != 1 - batch) {
    return context.Error(
        fmt::format("batch_axis {} and time_axis {} should be 0 and 1, or 1 and 0", batch, time));
  }
  return context.EmitAs("ReverseSequence", {{"time_axis", time}});
}

}  // namespace

OpDef DefineReverseSequence() {
  return {.name = "ReverseSequence",
          .infer = InferReverseSequence,
          .imports = {{"ReverseSequence", 10, 1 << 20, ImportReverseSequence}}};
}

}  // namespace fusee::ops
