// The points of a profile at which a plan is verified, and what running a plan there costs.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "compiler/options.h"
#include "device/parallel.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

namespace fusee::compiler {

// Symbol values at the minimum, the maximum and a middle, without repetition, in this order. The
// middle is the optimum; where that is an end, the middle tuned point; where that is one too,
// halfway.
std::vector<std::vector<int64_t>> ProfileCorners(const plan::Plan& plan);

// About how many operations one run takes at these symbol values: multiply-accumulates of products
// and convolutions, a few for every element of any tensor. Precondition: operands are not packed (a
// reference plan). Errors: kOutOfRange.
Result<double> OperationsAt(const plan::Plan& plan, const std::vector<int64_t>& symbol_values);

// A plan with one context to run it in.
struct Subject {
  std::shared_ptr<const plan::Plan> plan;
  std::unique_ptr<runtime::Context> context;
};
// Golden points are not replayed: they are not recorded yet. Errors: as the loader's.
Result<Subject> OpenSubject(std::shared_ptr<const plan::Plan> plan, Parallel* parallel,
                            const RunTarget& where = {});

// Fills the inputs with values on which the plan runs, runs it once, and says which: uniform ones,
// or, when a run refuses those (an integer division by a zero among them, more found than a --bound
// has room for), constant ones, zeros, tiny ones. Errors: the last run's.
Result<Fill> RunOrdinary(runtime::Context& context, const std::vector<int64_t>& symbol_values,
                         uint64_t seed);

}  // namespace fusee::compiler
