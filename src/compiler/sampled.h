// Verification step by step, for corners where running the whole reference would take too long (a
// plain double-precision BERT-base at batch 32 takes minutes): the plan runs once, and every step's
// result is recomputed by the reference kernel from that step's own operands. Small steps are
// compared whole; of large matrix products and convolutions a seeded sample of rows, columns and
// channels is.
//
// Weaker than comparing outputs (errors that only add up over steps go unseen), but it sees every
// step at full size.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/corners.h"
#include "compiler/import.h"
#include "compiler/select.h"
#include "compiler/verify.h"
#include "device/parallel.h"
#include "plan/plan.h"

namespace fusee::compiler {

// Multiply-accumulates above which a step is sampled.
inline constexpr double kWholeStepMacs = 2e7;

struct SampledOutcome {
  bool passed = false;
  std::string failure;          // the step that differs, with its first element
  plan::VerifiedCorner corner;  // output "every step", sampled
};

// graph and selection are those candidate was emitted from. The steps are looked at in a run in
// which nothing is taken over in place; the candidate itself then has to give the same output bits.
// seed: of the values (VerifyOutcome::Corner).
// Errors: a run that failed.
Result<SampledOutcome> VerifySteps(const ImportedModel& model, const ir::Graph& graph,
                                   const std::vector<SelectedNode>& selection,
                                   std::shared_ptr<const plan::Plan> candidate,
                                   const std::vector<int64_t>& symbol_values, Fill fill,
                                   Parallel* parallel, const RunTarget& where = {},
                                   uint64_t seed = kVerifySeed);

// --- for tests ---

// A choice of indices along some axes of operands and of result 0 that turns one step into a
// smaller one with the same values at the chosen places.
struct AxisChoice {
  size_t operand = 0;  // or the result
  int axis = 0;
  std::vector<int64_t> indices;
};
struct StepSample {
  std::vector<AxisChoice> operands;
  std::vector<AxisChoice> result;  // operand is 0
};
// Empty when the step should be compared whole. shapes: of the operands (absent: rank 0) and of the
// result.
StepSample ChooseSample(const ir::Node& node, const std::vector<Shape>& operands,
                        const Shape& result, uint64_t seed);

// The elements at the given indices along one axis.
Result<Tensor> TakeAlong(const ConstTensorView& tensor, int axis,
                         const std::vector<int64_t>& indices);

}  // namespace fusee::compiler
