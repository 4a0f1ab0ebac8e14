#include "plan/check.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <algorithm>

namespace fusee::plan {

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk: return "ok";
    case Verdict::kOkButRetune: return "ok-but-retune";
    case Verdict::kIncompatible: return "incompatible";
  }
  return "?";
}

CheckReport Check(const Header& header, const HostFacts& host) {
  CheckReport report;
  const auto add = [&](Verdict severity, std::string field, std::string need, std::string have,
                       std::string remedy) {
    report.verdict = std::max(report.verdict, severity);
    report.findings.push_back(
        {severity, std::move(field), std::move(need), std::move(have), std::move(remedy)});
  };
  if (header.minimum_reader > host.format_version) {
    add(Verdict::kIncompatible, "format", fmt::format("reader {} or newer", header.minimum_reader),
        fmt::format("reader {}", host.format_version),
        "upgrade fusee, or rebuild the plan with this version");
  }
  for (const SectionInfo& s : header.sections) {
    if (s.required && s.type > static_cast<uint32_t>(SectionType::kRecord)) {
      add(Verdict::kIncompatible, "sections", SectionTypeName(s.type), "unknown to this reader",
          "upgrade fusee");
    }
  }
  if (header.device != host.device) {
    add(Verdict::kIncompatible, "target.device", header.device, host.device,
        fmt::format("build the model again with a fusee that targets '{}'", host.device));
  } else if (!host.cpu_supported) {
    add(Verdict::kIncompatible, "target.isa", IsaText(header.isa), "a CPU below AVX2 with FMA",
        "run on a CPU with AVX2, FMA and F16C (x86-64-v3)");
  } else if (header.isa > host.isa) {
    add(Verdict::kIncompatible, "target.isa", IsaText(header.isa), IsaText(host.isa),
        fmt::format("rebuild with fusee build --isa {}", IsaText(host.isa)));
  } else if (std::max(header.isa, header.available_isa) < host.isa) {
    // Not the level the chosen kernels need: the builder may have found lower ones faster.
    add(Verdict::kOkButRetune, "target.available_isa",
        IsaText(std::max(header.isa, header.available_isa)), IsaText(host.isa),
        "runs as it is; rebuild on this machine for faster kernels");
  }
  uint64_t memory = header.context_bytes();
  if (__builtin_add_overflow(memory, header.weights_bytes, &memory)) memory = UINT64_MAX;
  if (host.memory_bytes > 0 && memory > host.memory_bytes) {
    add(Verdict::kIncompatible, "memory", fmt::format("{} bytes", memory),
        fmt::format("{} bytes", host.memory_bytes),
        "free memory, or rebuild with smaller maximum shapes");
  }
  if (!header.verified) {
    add(Verdict::kOkButRetune, "certificate", "verified",
        "not verified: " + header.unverified_reason,
        "servers refuse it without --allow-unverified; rebuild without --no-verify");
  }
  const bool measured =
      std::ranges::any_of(header.buckets, [](const BucketSummary& b) { return b.count > 0; });
  if (!measured) {
    add(Verdict::kOkButRetune, "latency", "a measured table", "none",
        "build with tuning on, so that deadlines can be kept");
  }
  return report;
}

std::string CheckText(const CheckReport& report) {
  std::string text = fmt::format("{}\n", VerdictName(report.verdict));
  for (const Finding& f : report.findings) {
    text += fmt::format("  {}: {}: need {}, have {}; {}\n", VerdictName(f.severity), f.field,
                        f.need, f.have, f.remedy);
  }
  return text;
}

std::string CheckJson(const CheckReport& report) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> json(buffer);
  const auto put = [&](const char* key, std::string_view value) {
    json.Key(key);
    json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  };
  json.StartObject();
  put("verdict", VerdictName(report.verdict));
  json.Key("findings");
  json.StartArray();
  for (const Finding& f : report.findings) {
    json.StartObject();
    put("severity", VerdictName(f.severity));
    put("field", f.field);
    put("need", f.need);
    put("have", f.have);
    put("remedy", f.remedy);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return buffer.GetString();
}

}  // namespace fusee::plan
