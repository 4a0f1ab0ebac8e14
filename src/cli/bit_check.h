// Shows that a plan gives the same bits: in every run as in the first, and in every position of a
// batch. Outputs are compared outside what is timed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/session.h"

namespace fusee::cli {

// The row that was first in the batch, given in each of its positions among the others.
struct PositionReport {
  std::string not_checked = "not asked to";  // why, when there is nothing to report
  int64_t rows = 0;                          // of the batch
  size_t positions = 0, same = 0;            // tried; that gave the first position's bits
  std::string difference;                    // the first one
};

struct BitReport {
  bool checked = false;
  size_t runs = 0, same = 0;  // all runs, the first included; those with the first's bits
  std::string difference;     // the first one: "run 17: output 'y', byte 3 of 400"
  PositionReport positions;
  bool all_same() const { return same == runs && positions.same == positions.positions; }
};

// Compares run after run. The session is borrowed.
class BitCheck {
 public:
  explicit BitCheck(Session& session) : session_(session) {}
  // After a run: keeps its outputs, or compares them with those kept. Outputs that a run leaves on
  // the device are fetched. Allocates at the first run and the first difference only. Errors: of
  // fetching.
  Status AfterRun();
  // positions is left as it is by default.
  BitReport report() const { return report_; }

 private:
  struct Kept {
    Shape shape;
    std::vector<std::byte> bytes;
  };
  Session& session_;
  std::vector<Kept> first_;
  BitReport report_{.checked = true};
};

// At the session's shapes, with the rows that its inputs hold, in a run for each position; of
// larger batches kMaxPositions positions from the first to the last. Inputs are afterwards as they
// were. Errors: a run's.
inline constexpr int64_t kMaxPositions = 1024;
Result<PositionReport> CheckPositions(Session& session);

}  // namespace fusee::cli
