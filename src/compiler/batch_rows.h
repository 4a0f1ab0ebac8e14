// Batch-row invariance: may requests share a batch? Only if a row's bits depend on nothing but the
// row.
#pragma once

#include <string>

#include "base/status.h"
#include "compiler/corners.h"

namespace fusee::compiler {

struct BatchRows {
  bool checked = false;
  bool invariant = false;
  std::string note;     // why it was not checked, or why nothing is promised
  std::string failure;  // the plan's fault: rows of a model that does not mix them depend on more
                        // than themselves
};

// For plans without guards whose inputs and outputs share one leading symbol on which no other axis
// depends. At
// the largest batch: rows give the same bits in other positions; row 0 gives the same bits beside
// other neighbours; and the first rows give the same bits in the smallest batch. When one of these
// does not hold, the reference decides whether the model itself mixes rows (nothing is promised
// then) or the plan is wrong. Errors: a run that failed.
Result<BatchRows> CheckBatchRows(Subject& candidate, Subject& reference);

}  // namespace fusee::compiler
