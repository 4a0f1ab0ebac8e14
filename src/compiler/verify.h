// Verification: a plan against the reference kernels.
//
// The reference is the imported graph before any pass, every node by its plain double-accumulating
// kernel, no memory shared, run by the same runtime. Both get the same seeded inputs
// (runtime/golden.h) at the profile's corners (minimum, maximum, optimum) with ordinary and
// adversarial values (large, tiny, signed zeros and denormals, constant).
//
// When an element passes: difference.h.
//
// Then batch-row invariance: when every input and output has the same leading dimension, a row must
// give the same bits in every position of the largest batch, and in the smallest batch. On a device
// other than the CPU, where tuned points have tactics of their own: the same bits in every position
// of each tuned batch, and results within tolerance in the smallest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "compiler/corners.h"
#include "compiler/difference.h"
#include "device/parallel.h"
#include "plan/plan.h"

namespace fusee::compiler {

inline constexpr uint64_t kVerifySeed = 2026;

struct VerifyOutcome {
  bool passed = false;
  std::string failure;  // what differed first: corner, output, element, and the guilty step
  std::vector<plan::VerifiedCorner> corners;
  bool batch_checked = false;
  bool batch_invariant = false;
  std::string batch_note;  // why it was not checked
  std::string
      refused_alike;  // the first input that plan and reference both refused, with the reason
  Reduced reduced = Reduced::kNone;  // the lower precision it was measured by (difference.h)
  std::string untried;  // the steps whose conditions no run of a comparison met, in words
  size_t skipped = 0;   // comparisons not started because they would not fit the time budget
  // Corners the caller has to verify step by step (sampled.h): too expensive to run the whole
  // reference at; or their outputs differ in the way of a model that amplifies rounding, then doubt
  // says how.
  struct Corner {
    std::vector<int64_t> values;
    Fill fill = Fill::kUniform;
    uint64_t seed = kVerifySeed;
    std::string doubt;
  };
  std::vector<Corner> to_sample;
};

// Candidate and reference have the same symbols, inputs and outputs. The reference runs on the CPU,
// the candidate where it is for. Runs those comparisons
// that are predicted to fit budget_s of clock time; corners with ordinary values that do not are in
// to_sample. Errors: a run that failed (annotated with the corner); a comparison that failed is not
// an error but outcome.passed
// == false.
Result<VerifyOutcome> VerifyPlan(std::shared_ptr<const plan::Plan> candidate,
                                 std::shared_ptr<const plan::Plan> reference, double budget_s,
                                 const Clock& clock, Parallel* parallel,
                                 const RunTarget& where = {});

// Digests of the candidate's outputs at the profile's minimum and maximum, for replay at load.
Result<std::vector<plan::Golden>> RecordGolden(std::shared_ptr<const plan::Plan> candidate,
                                               Parallel* parallel, const RunTarget& where = {});

// "image=uniform, batch=32" style: a corner in words.
std::string DescribePoint(const plan::Plan& plan, std::span<const int64_t> symbol_values);
std::string_view FillName(Fill fill);

}  // namespace fusee::compiler
