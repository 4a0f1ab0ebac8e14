// Scan over sequences of known length, written out element after element.
//
//   operands  initial states, then sequences; the body takes states and one element of each
//   results   states after the last element, then a stack of values a scan result
#include <algorithm>
#include <optional>

#include "ops/control/known.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

struct ScanParams {
  size_t states = 0;
  std::vector<int64_t> input_axes, input_directions, output_axes, output_directions;
};

// One number a sequence, 0 where the attribute is absent.
Result<std::vector<int64_t>> PerSequence(ImportContext& context, const char* name, size_t count) {
  FUSEE_TRY(std::vector<int64_t> values, context.Ints(name, std::vector<int64_t>(count, 0)));
  if (values.size() != count) {
    return context.Error(
        fmt::format("attribute {} has {} numbers, expected {}", name, values.size(), count));
  }
  return values;
}

Result<ScanParams> ReadScan(ImportContext& context, const onnx::Graph& body) {
  ScanParams p;
  FUSEE_TRY(const int64_t sequences, context.RequiredInt("num_scan_inputs"));
  if (sequences < 1 || static_cast<uint64_t>(sequences) > context.input_count())
    return context.Error("num_scan_inputs should be from 1 to the number of operands");
  p.states = context.input_count() - static_cast<size_t>(sequences);
  if (body.outputs.size() < p.states || context.output_count() > body.outputs.size()) {
    return context.Error(
        fmt::format("the body gives {} results for {} states and {} results of the scan",
                    body.outputs.size(), p.states, context.output_count()));
  }
  const size_t inputs = static_cast<size_t>(sequences), outputs = body.outputs.size() - p.states;
  FUSEE_TRY(p.input_axes, PerSequence(context, "scan_input_axes", inputs));
  FUSEE_TRY(p.input_directions, PerSequence(context, "scan_input_directions", inputs));
  FUSEE_TRY(p.output_axes, PerSequence(context, "scan_output_axes", outputs));
  FUSEE_TRY(p.output_directions, PerSequence(context, "scan_output_directions", outputs));
  return p;
}

// How many elements all sequences have; makes their axes count from the front.
Result<int64_t> LengthOf(ImportContext& context, ScanParams* p) {
  std::optional<int64_t> length;
  for (size_t i = 0; i < p->input_axes.size(); ++i) {
    const size_t operand = p->states + i;
    if (!context.has_input(operand)) return context.Error("a sequence is missing");
    FUSEE_TRY(const int axis, context.Axis(p->input_axes[i], context.rank(operand)));
    p->input_axes[i] = axis;
    const ir::Dim& dim = context.info(operand).shape[static_cast<size_t>(axis)];
    if (!dim.is_constant()) {
      return context.Refuse(fmt::format(
          "sequence {} has {} elements; a scan is written out, so fix that with a shape "
          "profile of one shape",
          i, dim.ToString()));
    }
    if (length && *length != dim.constant()) return context.Error("the sequences differ in length");
    length = dim.constant();
  }
  if (*length == 0) return context.Refuse("scans nothing, so that its results have no shape");
  if (*length > kUnrolledMax) {
    return context.Refuse(
        fmt::format("scans {} elements; at most {} are written out", *length, kUnrolledMax));
  }
  return *length;
}

Status ImportScan(ImportContext& context) {
  const onnx::Graph* body = context.GraphAttr("body");
  if (body == nullptr) return context.Error("expected the attribute body to be a graph");
  FUSEE_TRY(ScanParams p, ReadScan(context, *body));
  FUSEE_TRY(const int64_t length, LengthOf(context, &p));
  std::vector<ir::ValueId> states(context.inputs().begin(),
                                  context.inputs().begin() + static_cast<ptrdiff_t>(p.states));
  std::vector<std::vector<ir::ValueId>> scans(p.output_axes.size());
  for (int64_t t = 0; t < length; ++t) {
    std::vector<ir::ValueId> inputs = states;
    for (size_t i = 0; i < p.input_axes.size(); ++i) {
      const int64_t at = p.input_directions[i] == 0 ? t : length - 1 - t;
      const ir::ValueId index = context.Scalar(DType::kI64, static_cast<double>(at));
      FUSEE_TRY(const ir::ValueId element,
                context.Emit("Gather", {context.input(p.states + i), index},
                             {{"axis", p.input_axes[i]}}));
      inputs.push_back(element);
    }
    FUSEE_TRY(const std::vector<ir::ValueId> results, context.Inline(*body, inputs));
    for (size_t i = 0; i < p.states; ++i) states[i] = results[i];
    for (size_t i = 0; i < scans.size(); ++i) scans[i].push_back(results[p.states + i]);
  }
  for (size_t i = 0; i < context.output_count(); ++i) {
    if (i < p.states) {
      context.SetOutput(i, states[i]);
      continue;
    }
    const size_t scan = i - p.states;
    if (!context.wants_output(i)) continue;
    if (p.output_directions[scan] != 0) std::ranges::reverse(scans[scan]);
    const int rank = static_cast<int>(context.graph().value(scans[scan][0]).info.shape.size());
    FUSEE_TRY(const int axis, context.Axis(p.output_axes[scan], rank + 1));
    FUSEE_TRY(const ir::ValueId stack, Stack(context, scans[scan], axis));
    context.SetOutput(i, stack);
  }
  return OkStatus();
}

Status RefuseBatchedScan(ImportContext& context) {
  return context.Refuse(
      "has a batch of sequences, as opset 8 did; convert the model to opset 9 or "
      "later with onnx.version_converter");
}

}  // namespace

OpDef DefineScan() {
  return {.name = "Scan",
          .imports = {{"Scan", 8, 8, RefuseBatchedScan}, {"Scan", 9, 1 << 20, ImportScan}}};
}

}  // namespace fusee::ops
