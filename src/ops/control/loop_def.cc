// Loop whose number of rounds is known while building, written out round after round.
//
//   results  loop-carried values after the last round, then one stack of values a scan result
//
// A body's condition has to be known after each round: true to the last, or false to end there.
#include <limits>

#include "ops/control/known.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

constexpr size_t kTripCount = 0, kCondition = 1, kFirstCarried = 2;

Status ImportLoop(ImportContext& context) {
  const onnx::Graph* body = context.GraphAttr("body");
  if (body == nullptr) return context.Error("expected the attribute body to be a graph");
  int64_t rounds = std::numeric_limits<int64_t>::max();
  if (context.has_input(kTripCount)) {
    FUSEE_TRY(const std::vector<int64_t> count, context.ConstInts(kTripCount, "trip count"));
    if (count.size() != 1) return context.Error("the trip count should be one number");
    rounds = count[0];
  }
  bool goes_on = true;
  if (context.has_input(kCondition)) {
    FUSEE_TRY(goes_on, KnownCondition(context, context.input(kCondition), "condition"));
  }
  const size_t carried =
      context.input_count() > kFirstCarried ? context.input_count() - kFirstCarried : 0;
  if (body->outputs.size() < 1 + carried || context.output_count() > body->outputs.size() - 1) {
    return context.Error(
        fmt::format("the body gives {} results for {} carried values and {} results of the loop",
                    body->outputs.size(), carried, context.output_count()));
  }
  std::vector<ir::ValueId> values(carried);
  for (size_t i = 0; i < carried; ++i) values[i] = context.input(kFirstCarried + i);
  std::vector<std::vector<ir::ValueId>> scans(body->outputs.size() - 1 - carried);
  for (int64_t round = 0; goes_on && round < rounds; ++round) {
    if (round == kUnrolledMax) {
      return context.Refuse(
          fmt::format("runs more than {} rounds, as many as are written out", kUnrolledMax));
    }
    std::vector<ir::ValueId> inputs = {context.Scalar(DType::kI64, static_cast<double>(round)),
                                       context.Scalar(DType::kBool, 1)};
    inputs.insert(inputs.end(), values.begin(), values.end());
    FUSEE_TRY(const std::vector<ir::ValueId> results, context.Inline(*body, inputs));
    FUSEE_TRY(goes_on, KnownCondition(context, results[0], "condition after a round"));
    for (size_t i = 0; i < carried; ++i) values[i] = results[1 + i];
    for (size_t i = 0; i < scans.size(); ++i) scans[i].push_back(results[1 + carried + i]);
  }
  for (size_t i = 0; i < context.output_count(); ++i) {
    if (i < carried) {
      context.SetOutput(i, values[i]);
    } else if (context.wants_output(i)) {
      if (scans[i - carried].empty())
        return context.Refuse("runs no round, so that its scan results have no shape");
      FUSEE_TRY(const ir::ValueId stack, Stack(context, scans[i - carried], 0));
      context.SetOutput(i, stack);
    }
  }
  return OkStatus();
}

}  // namespace

OpDef DefineLoop() { return {.name = "Loop", .imports = {{"Loop", 1, 1 << 20, ImportLoop}}}; }

}  // namespace fusee::ops
