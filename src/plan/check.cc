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

namespace {

// Collects findings; the report's verdict is the worst.
class Judge {
 public:
  Judge(const Header& header, const HostFacts& host) : header_(header), host_(host) {}

  CheckReport Run() {
    CheckFormat();
    CheckCpu();
    if (header_.device == "cuda") {
      CheckGpu();
    } else if (header_.device != host_.device) {
      Add(Verdict::kIncompatible, "target.device", header_.device, host_.device,
          fmt::format("build the model again with a fusee that targets '{}'", host_.device));
    } else {
      CheckMemory("memory", host_.memory_bytes);
    }
    CheckCertificate();
    return std::move(report_);
  }

 private:
  void Add(Verdict severity, std::string field, std::string need, std::string have,
           std::string remedy) {
    report_.verdict = std::max(report_.verdict, severity);
    report_.findings.push_back(
        {severity, std::move(field), std::move(need), std::move(have), std::move(remedy)});
  }

  void CheckFormat() {
    if (header_.minimum_reader > host_.format_version) {
      Add(Verdict::kIncompatible, "format",
          fmt::format("reader {} or newer", header_.minimum_reader),
          fmt::format("reader {}", host_.format_version),
          "upgrade fusee, or rebuild the plan with this version");
    }
    for (const SectionInfo& s : header_.sections) {
      if (s.required && s.type > static_cast<uint32_t>(SectionType::kVendor)) {
        Add(Verdict::kIncompatible, "sections", SectionTypeName(s.type), "unknown to this reader",
            "upgrade fusee");
      }
    }
  }

  // The host's processor matters to a plan for another device too: its host steps, and the program.
  void CheckCpu() {
    const bool is_for_cpu = header_.device == "cpu";
    if (is_for_cpu && host_.device != "cpu") return;  // said by the device itself
    if (!host_.cpu_supported) {
      Add(Verdict::kIncompatible, "target.isa", IsaText(header_.isa), "a CPU below AVX2 with FMA",
          "run on a CPU with AVX2, FMA and F16C (x86-64-v3)");
    } else if (header_.isa > host_.isa) {
      if (!is_for_cpu && header_.host_step_count == 0) return;
      Add(Verdict::kIncompatible, "target.isa", IsaText(header_.isa), IsaText(host_.isa),
          fmt::format("rebuild with fusee build --isa {}", IsaText(host_.isa)));
    } else if (is_for_cpu && std::max(header_.isa, header_.available_isa) < host_.isa) {
      // Not the level the chosen kernels need: the builder may have found lower ones faster.
      Add(Verdict::kOkButRetune, "target.available_isa",
          IsaText(std::max(header_.isa, header_.available_isa)), IsaText(host_.isa),
          "runs as it is; rebuild on this machine for faster kernels");
    }
  }

  void CheckGpu() {
    if (!host_.gpu.has_value()) {
      Add(Verdict::kIncompatible, "target.device", header_.device,
          host_.no_gpu_reason.empty() ? "no GPU" : host_.no_gpu_reason,
          "run on a machine with a GPU and its driver, or use a plan for the CPU");
      return;
    }
    const GpuFacts& have = *host_.gpu;
    CheckArchitecture(have);
    if (have.driver_version < header_.gpu.driver_min) {
      Add(Verdict::kIncompatible, "target.driver", DriverText(header_.gpu.driver_min) + " or newer",
          DriverText(have.driver_version), "upgrade the GPU's driver");
    }
    for (const PinnedLibrary& library : header_.gpu.libraries) CheckLibrary(have, library);
    CheckMemory("gpu.memory", have.memory_bytes);
  }

  // Kernels are of one architecture. Tactics that are pinned to a library were made for this number
  // of multiprocessors; the others only were the fastest there.
  void CheckArchitecture(const GpuFacts& have) {
    const GpuTarget& need = header_.gpu;
    const std::string rebuild = "rebuild with fusee build --device cuda on this machine";
    const bool pinned = !need.libraries.empty();
    const std::string remedy =
        pinned ? rebuild : "runs as it is; rebuild on this machine for its own tactics";
    if (need.compute_capability != 0 && need.compute_capability != have.compute_capability) {
      Add(Verdict::kIncompatible, "target.compute_capability",
          std::to_string(need.compute_capability), std::to_string(have.compute_capability),
          rebuild);
    }
    if (need.multiprocessors != 0 && need.multiprocessors != have.multiprocessors) {
      Add(pinned ? Verdict::kIncompatible : Verdict::kOkButRetune, "target.multiprocessors",
          std::to_string(need.multiprocessors), std::to_string(have.multiprocessors), remedy);
    }
    if (!need.name.empty() && need.name != have.name) {
      Add(Verdict::kOkButRetune, "target.gpu", need.name, have.name,
          "runs as it is; rebuild on this machine for its own tactics and latencies");
    }
  }

  void CheckLibrary(const GpuFacts& have, const PinnedLibrary& need) {
    const auto it = std::ranges::find(have.libraries, need.name, &PinnedLibrary::name);
    if (it != have.libraries.end() && it->version == need.version) return;
    Add(Verdict::kIncompatible, "target.library", fmt::format("{} {}", need.name, need.version),
        it == have.libraries.end() ? fmt::format("no {}", need.name)
                                   : fmt::format("{} {}", it->name, it->version),
        fmt::format("install {} {} (FUSEE_CUDA_LIBRARY_PATH names its folder), or rebuild here",
                    need.name, need.version));
  }

  // What the largest shapes of the profile take; 0 bytes: unknown.
  void CheckMemory(const char* field, uint64_t have) {
    uint64_t memory = header_.context_bytes();
    if (__builtin_add_overflow(memory, header_.weights_bytes, &memory)) memory = UINT64_MAX;
    if (have == 0 || memory <= have) return;
    Add(Verdict::kIncompatible, field, fmt::format("{} bytes", memory),
        fmt::format("{} bytes", have), "free memory, or rebuild with smaller maximum shapes");
  }

  void CheckCertificate() {
    if (!header_.verified) {
      Add(Verdict::kOkButRetune, "certificate", "verified",
          "not verified: " + header_.unverified_reason,
          "servers refuse it without --allow-unverified; rebuild without --no-verify");
    }
    const bool measured =
        std::ranges::any_of(header_.buckets, [](const BucketSummary& b) { return b.count > 0; });
    if (!measured) {
      Add(Verdict::kOkButRetune, "latency", "a measured table", "none",
          "build with tuning on, so that deadlines can be kept");
    }
  }

  static std::string DriverText(int32_t version) {
    return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  }

  const Header& header_;
  const HostFacts& host_;
  CheckReport report_;
};

}  // namespace

CheckReport Check(const Header& header, const HostFacts& host) { return Judge(header, host).Run(); }

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
