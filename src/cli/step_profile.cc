#include "cli/step_profile.h"

#include <fmt/format.h>

#include "cli/distribution.h"
#include "cli/json_text.h"
#include "cli/table.h"

namespace fusee::cli {

Result<StepProfile> ProfileSteps(Session& session, size_t runs) {
  std::vector<std::vector<int64_t>> times(session.info().step_count);
  for (auto& list : times) list.reserve(runs);
  session.SetStepCallback(
      [](void* user, const fusee_step_event* event) {
        auto& lists = *static_cast<std::vector<std::vector<int64_t>>*>(user);
        if (event->step < lists.size()) lists[event->step].push_back(event->ns);
      },
      &times);
  Status status;
  for (size_t r = 0; r < runs && status.ok(); ++r) status = session.Run();
  session.SetStepCallback(nullptr, nullptr);
  FUSEE_TRY(std::move(status));

  StepProfile profile{runs, {}};
  double all_ms = 0;
  for (size_t i = 0; i < times.size(); ++i) {
    const Distribution d(std::move(times[i]));
    StepTime step;
    FUSEE_TRY(step.name, session.StepName(i));
    step.average_ms = d.mean_ms();
    step.total_ms = d.mean_ms() * static_cast<double>(d.count());
    step.median_ms = d.Percentile(50);
    all_ms += step.total_ms;
    profile.steps.push_back(std::move(step));
  }
  for (StepTime& step : profile.steps) step.percent = all_ms > 0 ? 100 * step.total_ms / all_ms : 0;
  return profile;
}

std::string ProfileText(const StepProfile& profile) {
  Table table({"time ms", "average ms", "median ms", "time %", "step"});
  table.LeftFrom(4);
  double total = 0, average = 0;
  for (const StepTime& s : profile.steps) {
    table.Row({fmt::format("{:.3f}", s.total_ms), fmt::format("{:.4f}", s.average_ms),
               fmt::format("{:.4f}", s.median_ms), fmt::format("{:.1f}", s.percent), s.name});
    total += s.total_ms;
    average += s.average_ms;
  }
  table.Row({fmt::format("{:.3f}", total), fmt::format("{:.4f}", average), "", "100.0", "total"});
  return fmt::format("=== Profile ({} runs of their own) ===\n{}", profile.runs, table.Text());
}

std::string ProfileJson(const StepProfile& profile) {
  JsonText json;
  json.Array().Object().Field("count", profile.runs).EndObject();
  for (const StepTime& s : profile.steps) {
    json.Object()
        .Field("name", s.name)
        .Field("timeMs", s.total_ms)
        .Field("averageMs", s.average_ms);
    json.Field("medianMs", s.median_ms).Field("percentage", s.percent).EndObject();
  }
  json.EndArray();
  return json.Text();
}

}  // namespace fusee::cli
