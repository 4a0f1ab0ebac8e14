#include "compiler/report.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <iterator>

#include "compiler/verify.h"
#include "device/cpu_features.h"

namespace fusee::compiler {
namespace {

constexpr size_t kMaxDeclinedShown = 12;

std::string OperatorList(const std::map<std::string, size_t>& operators) {
  std::string text;
  for (const auto& [op, count] : operators)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", op, count);
  return text;
}

void AppendFusions(const plan::Plan& plan, std::string* out) {
  std::map<std::string, size_t> made;
  size_t declined = 0;
  for (const plan::FusionRecord& f : plan.fusions) f.made ? ++made[f.pass] : ++declined;
  auto to = std::back_inserter(*out);
  fmt::format_to(to, "rewrites     ");
  if (made.empty()) fmt::format_to(to, "none");
  bool first = true;
  for (const auto& [pass, count] : made) {
    fmt::format_to(to, "{}{} {}", first ? "" : ", ", pass, count);
    first = false;
  }
  fmt::format_to(to, "; declined {}\n", declined);
  size_t shown = 0;
  for (const plan::FusionRecord& f : plan.fusions) {
    if (f.made) continue;
    if (++shown > kMaxDeclinedShown) {
      fmt::format_to(to, "  ... and {} more: `fusee inspect plan --fusions`\n",
                     declined - kMaxDeclinedShown);
      break;
    }
    fmt::format_to(to, "  declined   {}: {}: {}\n", f.pass, f.nodes, f.reason);
  }
}

void AppendLatencies(const plan::Plan& plan, std::string* out) {
  auto to = std::back_inserter(*out);
  fmt::format_to(to, "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>6}\n", "bucket", "min us",
                 "P50", "P99", "P99.9", "max", "arena", "runs");
  for (const plan::Bucket& b : plan.buckets) {
    const plan::Latency& l = b.latency;
    fmt::format_to(to, "{:<28} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>12} {:>6}\n",
                   DescribePoint(plan, b.symbol_values), l.min_us, l.p50_us, l.p99_us, l.p999_us,
                   l.max_us, FormatBytes(b.arena_bytes), l.count);
  }
}

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void Text(Writer& w, const char* key, std::string_view value) {
  w.Key(key);
  w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}
void Counts(Writer& w, const char* key, const std::map<std::string, size_t>& counts) {
  w.Key(key);
  w.StartObject();
  for (const auto& [name, count] : counts) {
    w.Key(name.c_str());
    w.Uint64(count);
  }
  w.EndObject();
}

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  const char* units[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string ReportText(const BuildResult& result) {
  const BuildReport& r = result.report;
  const plan::Plan& p = *result.plan;
  std::string out;
  auto to = std::back_inserter(out);
  fmt::format_to(to, "model        {}\n", r.model);
  fmt::format_to(to, "operators    {} nodes, all covered: {}\n", r.onnx_nodes,
                 OperatorList(r.operators));
  AppendFusions(p, &out);
  fmt::format_to(to, "steps        {}: {}\n", p.steps.size(), OperatorList(r.kernels));
  fmt::format_to(to, "memory       weights {}, arena {}, inputs and outputs {}, workspace {}\n",
                 FormatBytes(p.weights.size()), FormatBytes(p.activation_bytes),
                 FormatBytes(p.io_bytes), FormatBytes(p.workspace_bytes));
  fmt::format_to(to, "plan         {}, sha256 {}\n", FormatBytes(r.plan_bytes), r.plan_digest);
  double total = 0;
  std::string phases;
  for (const PhaseTime& phase : r.phases) {
    total += phase.seconds;
    phases += fmt::format("{}{} {:.2f}", phases.empty() ? "" : ", ", phase.name, phase.seconds);
  }
  fmt::format_to(to, "seconds      {:.2f}: {}\n", total, phases);
  fmt::format_to(to, "target       {} {}, kernels need {}\n", p.target.device, r.device,
                 IsaName(static_cast<Isa>(p.target.isa)));
  if (r.problems_timed + r.problems_reused > 0) {
    fmt::format_to(to, "tuned        {} different steps timed, {} known from the timing cache\n",
                   r.problems_timed, r.problems_reused);
  }
  for (const std::string& step : r.host_steps)
    fmt::format_to(to, "on the CPU   {}: no kernel of the device takes it\n", step);
  for (const std::string& note : r.notes) fmt::format_to(to, "note         {}\n", note);
  if (r.comparisons_skipped > 0) {
    fmt::format_to(
        to, "note         {} comparisons were not started: time budget spent (--verify-budget)\n",
        r.comparisons_skipped);
  }
  fmt::format_to(to, "verdict      {}\n", r.verdict);
  AppendLatencies(p, &out);
  return out;
}

std::string ReportJson(const BuildResult& result) {
  const BuildReport& r = result.report;
  const plan::Plan& p = *result.plan;
  rapidjson::StringBuffer buffer;
  Writer w(buffer);
  w.SetIndent(' ', 1);
  w.StartObject();
  Text(w, "model", r.model);
  w.Key("onnx_nodes");
  w.Uint64(r.onnx_nodes);
  Counts(w, "operators", r.operators);
  Counts(w, "kernels", r.kernels);
  w.Key("steps");
  w.Uint64(p.steps.size());
  Text(w, "device", p.target.device);
  Text(w, "device_name", r.device);
  w.Key("host_steps");
  w.StartArray();
  for (const std::string& step : r.host_steps) w.String(step.c_str());
  w.EndArray();
  w.Key("problems_timed");
  w.Uint64(r.problems_timed);
  w.Key("problems_reused");
  w.Uint64(r.problems_reused);
  w.Key("bytes");
  w.StartObject();
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"plan", r.plan_bytes},
                                                               {"weights", p.weights.size()},
                                                               {"arena", p.activation_bytes},
                                                               {"io", p.io_bytes},
                                                               {"workspace", p.workspace_bytes}}) {
    w.Key(key);
    w.Uint64(value);
  }
  w.EndObject();
  w.Key("phases_s");
  w.StartObject();
  for (const PhaseTime& phase : r.phases) {
    w.Key(phase.name.c_str());
    w.Double(phase.seconds);
  }
  w.EndObject();
  w.Key("rewrites");
  w.StartArray();
  for (const plan::FusionRecord& f : p.fusions) {
    w.StartObject();
    Text(w, "pass", f.pass);
    w.Key("made");
    w.Bool(f.made);
    Text(w, "nodes", f.nodes);
    Text(w, "reason", f.reason);
    w.EndObject();
  }
  w.EndArray();
  w.Key("notes");
  w.StartArray();
  for (const std::string& note : r.notes) w.String(note.c_str());
  w.EndArray();
  w.Key("verified");
  w.Bool(p.certificate.verified);
  Text(w, "verdict", r.verdict);
  w.Key("comparisons_skipped");
  w.Uint64(r.comparisons_skipped);
  w.Key("buckets");
  w.StartArray();
  for (const plan::Bucket& b : p.buckets) {
    w.StartObject();
    Text(w, "at", DescribePoint(p, b.symbol_values));
    w.Key("arena_bytes");
    w.Uint64(b.arena_bytes);
    w.Key("runs");
    w.Uint64(b.latency.count);
    for (const auto& [key, value] :
         std::initializer_list<std::pair<const char*, double>>{{"min_us", b.latency.min_us},
                                                               {"p50_us", b.latency.p50_us},
                                                               {"p99_us", b.latency.p99_us},
                                                               {"p999_us", b.latency.p999_us},
                                                               {"max_us", b.latency.max_us}}) {
      w.Key(key);
      w.Double(value);
    }
    w.EndObject();
  }
  w.EndArray();
  Text(w, "plan_sha256", r.plan_digest);
  w.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

}  // namespace fusee::compiler
