#include "cli/driver_report.h"

namespace fusee::cli {

Result<DriverReport> WatchDriverDuringRuns(Session& session, size_t runs) {
  DriverReport report;
  report.watched = session.WatchDriver();
  if (!report.watched.ok()) return report;
  FUSEE_TRY(session.Run());  // what the watching itself may take
  FUSEE_TRY(const fusee_driver_calls before, session.driver_calls());
  for (; report.runs < runs; ++report.runs) FUSEE_TRY(session.Run());
  FUSEE_TRY(const fusee_driver_calls after, session.driver_calls());
  report.allocations = after.allocations - before.allocations;
  report.frees = after.frees - before.frees;
  report.modules_loaded = after.code_loads - before.code_loads;
  return report;
}

}  // namespace fusee::cli
