#include "cli/plan_file.h"

#include <algorithm>

#include "base/file.h"
#include "plan/decode.h"

namespace fusee::cli {

Result<plan::Header> ReadPlanHeader(const std::string& path) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  auto header =
      plan::ReadHeader(bytes.first(std::min(bytes.size(), plan::kHeaderBytes)), bytes.size());
  if (!header.ok()) return std::move(header).status().Annotate(path);
  return header;
}

Result<std::shared_ptr<const plan::Plan>> ReadPlan(const std::string& path) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  auto plan = plan::Decode(bytes, file);
  if (!plan.ok()) return std::move(plan).status().Annotate(path);
  return plan;
}

ExitCode PrintPlanError(const Status& status, bool json) {
  PrintError(status, json);
  return status.code() == StatusCode::kInvalidArgument ? ExitCode::kIncompatiblePlan
                                                       : ExitCodeFor(status);
}

}  // namespace fusee::cli
