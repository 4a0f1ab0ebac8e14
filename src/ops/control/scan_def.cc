// Scan over sequences of known length, written out element after element.
//
//   operands  initial states, then sequences; the body takes states and one element of each
//   results   states after the last element, then a stack of values a scan result
//
// In opset 8 each of them has a batch in front, whose items are written out one after another, and
// the first operand says how long each item's sequences are.
#include <algorithm>
#include <optional>

#include "ops/control/known.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

struct ScanParams {
  size_t states = 0, sequences = 0, scans = 0;
};

struct Sequence {
  ir::ValueId value;
  int64_t axis = 0;
  bool backwards = false;
};

// What the body makes of one sequence: the states after its last element, and of each scan result
// one value an element.
struct Unrolled {
  std::vector<ir::ValueId> states;
  std::vector<std::vector<ir::ValueId>> scans;
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

Result<const onnx::Graph*> BodyOf(ImportContext& context) {
  const onnx::Graph* body = context.GraphAttr("body");
  if (body == nullptr) return context.Error("expected the attribute body to be a graph");
  return body;
}

// first: the operand with which the states begin.
Result<ScanParams> ReadScan(ImportContext& context, const onnx::Graph& body, size_t first) {
  ScanParams p;
  FUSEE_TRY(const int64_t sequences, context.RequiredInt("num_scan_inputs"));
  const size_t operands = std::max(context.input_count(), first) - first;
  if (sequences < 1 || static_cast<uint64_t>(sequences) > operands)
    return context.Error("num_scan_inputs should be from 1 to the number of operands");
  p.sequences = static_cast<size_t>(sequences);
  p.states = operands - p.sequences;
  if (body.outputs.size() < p.states || context.output_count() > body.outputs.size()) {
    return context.Error(
        fmt::format("the body gives {} results for {} states and {} results of the scan",
                    body.outputs.size(), p.states, context.output_count()));
  }
  p.scans = body.outputs.size() - p.states;
  return p;
}

Result<int64_t> KnownSize(ImportContext& context, const ir::Dim& dim, std::string_view what) {
  if (dim.is_constant()) return dim.constant();
  return context.Refuse(
      fmt::format("{} has {} elements; a scan is written out, so fix that with a shape profile of "
                  "one shape",
                  what, dim.ToString()));
}

Status CheckSteps(ImportContext& context, int64_t steps) {
  if (steps == 0) return context.Refuse("scans nothing, so that its results have no shape");
  if (steps <= kUnrolledMax) return OkStatus();
  return context.Refuse(
      fmt::format("scans {} elements; at most {} are written out", steps, kUnrolledMax));
}

// Element or item `at` of a value, without the axis.
Result<ir::ValueId> Take(ImportContext& context, ir::ValueId from, int64_t at, int64_t axis) {
  const ir::ValueId index = context.Scalar(DType::kI64, static_cast<double>(at));
  return context.Emit("Gather", {from, index}, {{"axis", axis}});
}

Result<Unrolled> Unroll(ImportContext& context, const onnx::Graph& body, const ScanParams& p,
                        std::vector<ir::ValueId> states, std::span<const Sequence> sequences,
                        int64_t length) {
  Unrolled all{std::move(states), {}};
  all.scans.resize(p.scans);
  for (int64_t t = 0; t < length; ++t) {
    std::vector<ir::ValueId> inputs = all.states;
    for (const Sequence& sequence : sequences) {
      const int64_t at = sequence.backwards ? length - 1 - t : t;
      FUSEE_TRY(const ir::ValueId element, Take(context, sequence.value, at, sequence.axis));
      inputs.push_back(element);
    }
    FUSEE_TRY(const std::vector<ir::ValueId> results, context.Inline(body, inputs));
    for (size_t i = 0; i < p.states; ++i) all.states[i] = results[i];
    for (size_t i = 0; i < p.scans; ++i) all.scans[i].push_back(results[p.states + i]);
  }
  return all;
}

// --- opset 9 and later ---

// The sequences with their axes counted from the front, and how many elements all of them have.
Result<int64_t> ReadSequences(ImportContext& context, const ScanParams& p,
                              std::vector<Sequence>* sequences) {
  FUSEE_TRY(const std::vector<int64_t> axes, PerSequence(context, "scan_input_axes", p.sequences));
  FUSEE_TRY(const std::vector<int64_t> directions,
            PerSequence(context, "scan_input_directions", p.sequences));
  std::optional<int64_t> length;
  for (size_t i = 0; i < p.sequences; ++i) {
    const size_t operand = p.states + i;
    if (!context.has_input(operand)) return context.Error("a sequence is missing");
    FUSEE_TRY(const int axis, context.Axis(axes[i], context.rank(operand)));
    FUSEE_TRY(const int64_t size,
              KnownSize(context, context.info(operand).shape[static_cast<size_t>(axis)],
                        fmt::format("sequence {}", i)));
    if (length && *length != size) return context.Error("the sequences differ in length");
    length = size;
    sequences->push_back({context.input(operand), axis, directions[i] != 0});
  }
  return *length;
}

Status ImportScan(ImportContext& context) {
  FUSEE_TRY(const onnx::Graph* const body, BodyOf(context));
  FUSEE_TRY(const ScanParams p, ReadScan(context, *body, 0));
  FUSEE_TRY(const std::vector<int64_t> axes, PerSequence(context, "scan_output_axes", p.scans));
  FUSEE_TRY(const std::vector<int64_t> directions,
            PerSequence(context, "scan_output_directions", p.scans));
  std::vector<Sequence> sequences;
  FUSEE_TRY(const int64_t length, ReadSequences(context, p, &sequences));
  FUSEE_TRY(CheckSteps(context, length));
  const auto states = context.inputs().first(p.states);
  FUSEE_TRY(Unrolled all,
            Unroll(context, *body, p, {states.begin(), states.end()}, sequences, length));
  for (size_t i = 0; i < context.output_count(); ++i) {
    if (i < p.states) {
      context.SetOutput(i, all.states[i]);
      continue;
    }
    if (!context.wants_output(i)) continue;
    const size_t scan = i - p.states;
    std::vector<ir::ValueId>& parts = all.scans[scan];
    if (directions[scan] != 0) std::ranges::reverse(parts);
    const int rank = static_cast<int>(context.graph().value(parts[0]).info.shape.size());
    FUSEE_TRY(const int axis, context.Axis(axes[scan], rank + 1));
    FUSEE_TRY(const ir::ValueId stack, Stack(context, parts, axis));
    context.SetOutput(i, stack);
  }
  return OkStatus();
}

// --- opset 8 ---

// The sizes of a batch [items, length, ...] that all operands agree on.
struct Batch {
  int64_t items = 0, length = 0;
  std::vector<int64_t> lengths;  // of each item's sequences, `length` at most
};

Result<Batch> ReadBatch(ImportContext& context, const ScanParams& p) {
  std::optional<int64_t> items, length;
  const auto agree = [&](std::optional<int64_t>* known, size_t operand, size_t axis) -> Status {
    const ir::SymShape shape = context.info(operand).shape;
    if (!context.has_input(operand) || shape.size() <= axis) {
      return context.Error(fmt::format("operand {} should be a batch of {}", operand,
                                       axis == 0 ? "states" : "sequences"));
    }
    FUSEE_TRY(const int64_t size,
              KnownSize(context, shape[axis], fmt::format("axis {} of operand {}", axis, operand)));
    if (*known && **known != size)
      return context.Error(fmt::format("the operands differ in the size of axis {}", axis));
    *known = size;
    return OkStatus();
  };
  for (size_t i = 1; i <= p.states + p.sequences; ++i) {
    FUSEE_TRY(agree(&items, i, 0));
    if (i > p.states) {
      FUSEE_TRY(agree(&length, i, 1));
    }
  }
  Batch batch{*items, *length, {}};
  // Bounded before anything of that size is made or multiplied.
  FUSEE_TRY(CheckSteps(context, batch.items));
  FUSEE_TRY(CheckSteps(context, batch.length));
  batch.lengths.assign(static_cast<size_t>(batch.items), batch.length);
  return batch;
}

// sequence_lens. An item of no elements has states but no scan results, and which end of a shorter
// sequence a scan backwards begins at is nowhere said.
Status ReadLengths(ImportContext& context, bool backwards, Batch* batch) {
  if (context.has_input(0)) {
    FUSEE_TRY(const std::vector<int64_t> lengths, context.ConstInts(0, "sequence_lens"));
    if (lengths.size() != batch->lengths.size()) {
      return context.Error(fmt::format("sequence_lens has {} numbers for a batch of {}",
                                       lengths.size(), batch->items));
    }
    for (const int64_t length : lengths) {
      if (length < 0 || length > batch->length) {
        return context.Error(fmt::format(
            "sequence_lens has the number {} for sequences of {} elements", length, batch->length));
      }
      if (length == 0)
        return context.Refuse("sequence_lens 0 is not supported; leave the item out");
      if (length < batch->length && backwards) {
        return context.Refuse(
            "scans backwards in a batch of sequences of several lengths, for which ONNX does not "
            "say where they begin; convert the model to opset 9 or later");
      }
    }
    batch->lengths = lengths;
  }
  int64_t steps = 0;
  for (const int64_t length : batch->lengths) steps += length;
  return CheckSteps(context, steps);
}

// One item's values of a scan result, with zeros up to the batch's length: ONNX leaves open what
// stands there.
Result<ir::ValueId> StackItem(ImportContext& context, std::span<const ir::ValueId> parts,
                              int64_t length) {
  FUSEE_TRY(const ir::ValueId stack, Stack(context, parts, 0));
  const auto missing = length - static_cast<int64_t>(parts.size());
  if (missing == 0) return stack;
  const ir::ValueInfo info = context.graph().value(stack).info;
  ir::SymShape shape = info.shape;
  shape[0] = ir::Dim(missing);
  FUSEE_TRY(const ir::ValueId zeros,
            context.Emit("Expand", {context.Scalar(info.dtype, 0)}, {}, std::move(shape)));
  return context.Emit("Concat", {stack, zeros}, {{"axis", int64_t{0}}});
}

Status ImportBatchedScan(ImportContext& context) {
  FUSEE_TRY(const onnx::Graph* const body, BodyOf(context));
  FUSEE_TRY(const ScanParams p, ReadScan(context, *body, 1));
  FUSEE_TRY(const std::vector<int64_t> directions, PerSequence(context, "directions", p.sequences));
  FUSEE_TRY(Batch batch, ReadBatch(context, p));
  const bool backwards = std::ranges::any_of(directions, [](int64_t d) { return d != 0; });
  FUSEE_TRY(ReadLengths(context, backwards, &batch));
  std::vector<std::vector<ir::ValueId>> results(body->outputs.size());
  for (int64_t item = 0; item < batch.items; ++item) {
    std::vector<ir::ValueId> states;
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < p.states + p.sequences; ++i) {
      FUSEE_TRY(const ir::ValueId own, Take(context, context.input(1 + i), item, 0));
      if (i < p.states) {
        states.push_back(own);
      } else {
        sequences.push_back({own, 0, directions[i - p.states] != 0});
      }
    }
    FUSEE_TRY(const Unrolled all, Unroll(context, *body, p, std::move(states), sequences,
                                         batch.lengths[static_cast<size_t>(item)]));
    for (size_t i = 0; i < p.states; ++i) results[i].push_back(all.states[i]);
    for (size_t i = 0; i < p.scans; ++i) {
      if (!context.wants_output(p.states + i)) continue;
      FUSEE_TRY(const ir::ValueId stack, StackItem(context, all.scans[i], batch.length));
      results[p.states + i].push_back(stack);
    }
  }
  for (size_t i = 0; i < context.output_count(); ++i) {
    if (!context.wants_output(i)) continue;
    FUSEE_TRY(const ir::ValueId stack, Stack(context, results[i], 0));
    context.SetOutput(i, stack);
  }
  return OkStatus();
}

}  // namespace

OpDef DefineScan() {
  return {.name = "Scan",
          .imports = {{"Scan", 8, 8, ImportBatchedScan}, {"Scan", 9, 1 << 20, ImportScan}}};
}

}  // namespace fusee::ops
