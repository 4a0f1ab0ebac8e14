#include "plan/print.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cmath>
#include <iterator>

namespace fusee::plan {
namespace {

using Json = rapidjson::PrettyWriter<rapidjson::StringBuffer>;
using Out = std::back_insert_iterator<std::string>;

constexpr int kMaxDimTextNodes =
    64;  // an expression's text stops there with "...": shared parts could unfold forever

// Names come from untrusted files: control characters must not reach a terminal.
std::string Safe(std::string_view text) {
  std::string safe;
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      safe += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string DimTextAt(const Plan& plan, uint32_t index, int* nodes_left, bool nested) {
  const DimExpr& e = plan.dims[index];
  if (e.op == DimOp::kConstant) return std::to_string(e.a);
  if (e.op == DimOp::kSymbol) return Safe(plan.symbols[static_cast<size_t>(e.a)].name);
  if (e.op == DimOp::kCount) return Safe(plan.counts[static_cast<size_t>(e.a)].name);
  if ((*nodes_left)-- <= 0) return "...";
  const std::string a = DimTextAt(plan, static_cast<uint32_t>(e.a), nodes_left, true);
  const std::string b = DimTextAt(plan, static_cast<uint32_t>(e.b), nodes_left, true);
  const auto infix = [&](const char* op) { return nested ? "(" + a + op + b + ")" : a + op + b; };
  switch (e.op) {
    case DimOp::kConstant:
    case DimOp::kSymbol:
    case DimOp::kCount: break;
    case DimOp::kAdd: return infix(" + ");
    case DimOp::kMul: return infix("*");
    case DimOp::kFloorDiv: return infix(" floordiv ");
    case DimOp::kMod: return infix(" mod ");
    case DimOp::kMin: return "min(" + a + ", " + b + ")";
    case DimOp::kMax: return "max(" + a + ", " + b + ")";
  }
  return "?";
}

std::string RegionName(Region region) {
  switch (region) {
    case Region::kWeights: return "weights";
    case Region::kActivations: return "activations";
    case Region::kIo: return "io";
    case Region::kState: return "state";
    case Region::kWorkspace: return "workspace";
  }
  return "?";
}

std::string BytesText(uint64_t bytes) {
  if (bytes < 10 * 1024) return fmt::format("{} B", bytes);
  if (bytes < 10 * 1024 * 1024) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024 * 1024));
}

std::string PointText(const std::vector<std::string>& names, const std::vector<int64_t>& values) {
  std::string text;
  for (size_t i = 0; i < values.size(); ++i) {
    text += fmt::format("{}{}={}", i == 0 ? "" : " ", i < names.size() ? names[i] : "?", values[i]);
  }
  return text.empty() ? "static" : text;
}

std::string AttrText(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return "\"" + Safe(v) + "\"";
        } else if constexpr (std::is_arithmetic_v<T>) {
          return fmt::format("{}", v);
        } else {
          std::string text = "[";
          for (size_t i = 0; i < v.size(); ++i)
            text += fmt::format("{}{}", i == 0 ? "" : ",", v[i]);
          return text + "]";
        }
      },
      value);
}

std::string OperandText(const Plan& plan, uint32_t index) {
  if (index == kNoTensor) return "-";
  const TensorDef& t = plan.tensors[index];
  return fmt::format("%{}:{}{}", index, DTypeName(t.dtype), ShapeText(plan, t));
}

std::string OperandsText(const Plan& plan, const std::vector<uint32_t>& list) {
  std::string text;
  for (size_t i = 0; i < list.size(); ++i)
    text += (i == 0 ? "" : ", ") + OperandText(plan, list[i]);
  return text;
}

std::string_view LayoutText(const IoDef& io) { return io.channels_last ? " (channels last)" : ""; }

// "CUDA 13.0", as the driver counts.
std::string DriverText(int32_t version) {
  return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
}

// The needs of a GPU on lines of their own; nothing for the CPU.
void PrintGpu(const GpuTarget& gpu, Out out) {
  if (gpu == GpuTarget{}) return;
  fmt::format_to(
      out, "             {}, compute capability {}.{}, {} multiprocessors, driver {} or newer\n",
      Safe(gpu.name), gpu.compute_capability / 10, gpu.compute_capability % 10, gpu.multiprocessors,
      DriverText(gpu.driver_min));
  for (const PinnedLibrary& l : gpu.libraries)
    fmt::format_to(out, "             needs {} at exactly {}\n", Safe(l.name), l.version);
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& t : texts) joined += (joined.empty() ? "" : " + ") + Safe(t);
  return joined;
}

std::vector<std::string> SymbolNames(const Plan& plan) {
  std::vector<std::string> names;
  for (const Symbol& s : plan.symbols) names.push_back(Safe(s.name));
  return names;
}

void PrintStep(const Plan& plan, size_t i, const PrintOptions& options, Out out) {
  const Step& s = plan.steps[i];
  std::string attrs;
  for (const auto& [name, value] : s.attrs.values())
    attrs += fmt::format(" {}={}", Safe(name), AttrText(value));
  fmt::format_to(out, "{:>5}  {:<22} {:<34} {} -> {}{}", i, Safe(s.op), Safe(s.kernel),
                 OperandsText(plan, s.inputs), OperandsText(plan, s.outputs), attrs);
  for (size_t d = 0; d < s.dims.size(); ++d)
    fmt::format_to(out, "{}{}", d == 0 ? " dims=" : ",", DimText(plan, s.dims[d]));
  for (size_t c = 0; c < s.counts.size(); ++c)
    fmt::format_to(out, "{}{}", c == 0 ? " finds=" : ",", Safe(plan.counts[s.counts[c]].name));
  for (size_t g = 0; g < s.guards.size(); ++g) {
    fmt::format_to(out, "{}{}{}", g == 0 ? " when=" : ",", s.guards[g].holds ? "" : "!",
                   OperandText(plan, s.guards[g].tensor));
  }
  if (s.workspace_bytes > 0) fmt::format_to(out, " workspace={}", BytesText(s.workspace_bytes));
  if (!s.config.empty()) fmt::format_to(out, " config={}", BytesText(s.config.size()));
  if (plan.is_host_step(s)) fmt::format_to(out, " on the host");
  fmt::format_to(out, "{}{}\n", s.sources.empty() ? "" : "  # ", Joined(s.sources));
  for (const BucketTactic& t : s.bucket_tactics) {
    fmt::format_to(out, "         at {}: {}{}\n",
                   PointText(SymbolNames(plan), plan.buckets[t.bucket].symbol_values),
                   Safe(t.kernel),
                   t.config.empty() ? "" : fmt::format(" config={}", BytesText(t.config.size())));
  }
  if (!options.tried) return;
  for (const TriedTactic& t : s.tried) {
    fmt::format_to(out, "         {:<34} {}{}\n", Safe(t.kernel), Safe(t.verdict),
                   t.time_us > 0 ? fmt::format(", {:.2f} us", t.time_us) : "");
  }
}

// --- JSON helpers ---

void Put(Json& json, const char* key, const std::string& value) {
  json.Key(key);
  json.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}
void Put(Json& json, const char* key, uint64_t value) {
  json.Key(key);
  json.Uint64(value);
}
void PutInt(Json& json, const char* key, int64_t value) {
  json.Key(key);
  json.Int64(value);
}
void PutBool(Json& json, const char* key, bool value) {
  json.Key(key);
  json.Bool(value);
}
void PutDouble(Json& json, const char* key, double value) {
  json.Key(key);
  if (std::isfinite(value))
    json.Double(value);
  else
    json.Null();  // JSON has no NaN or infinity
}
void PutInts(Json& json, const char* key, const std::vector<int64_t>& values) {
  json.Key(key);
  json.StartArray();
  for (int64_t v : values) json.Int64(v);
  json.EndArray();
}
template <typename List, typename Function>
void PutObjects(Json& json, const char* key, const List& list, Function&& body) {
  json.Key(key);
  json.StartArray();
  for (const auto& item : list) {
    json.StartObject();
    body(item);
    json.EndObject();
  }
  json.EndArray();
}
void PutOperands(Json& json, const char* key, const std::vector<uint32_t>& list) {
  json.Key(key);
  json.StartArray();
  for (uint32_t t : list) {
    if (t == kNoTensor)
      json.Null();
    else
      json.Uint(t);
  }
  json.EndArray();
}

void PutStep(Json& json, const Step& s, const PrintOptions& options) {
  Put(json, "op", s.op);
  Put(json, "kernel", s.kernel);
  PutOperands(json, "inputs", s.inputs);
  PutOperands(json, "outputs", s.outputs);
  json.Key("attrs");
  json.StartObject();
  for (const auto& [name, value] : s.attrs.values()) Put(json, name.c_str(), AttrText(value));
  json.EndObject();
  if (!s.guards.empty()) {
    PutObjects(json, "guards", s.guards, [&](const Guard& g) {
      Put(json, "tensor", uint64_t{g.tensor});
      PutBool(json, "holds", g.holds);
    });
  }
  Put(json, "workspace_bytes", s.workspace_bytes);
  Put(json, "device", uint64_t{s.device});
  Put(json, "config_bytes", uint64_t{s.config.size()});
  PutObjects(json, "bucket_tactics", s.bucket_tactics, [&](const BucketTactic& t) {
    Put(json, "bucket", uint64_t{t.bucket});
    Put(json, "kernel", t.kernel);
    Put(json, "config_bytes", uint64_t{t.config.size()});
  });
  json.Key("sources");
  json.StartArray();
  for (const std::string& source : s.sources)
    json.String(source.data(), static_cast<rapidjson::SizeType>(source.size()));
  json.EndArray();
  if (!options.tried) return;
  PutObjects(json, "tried", s.tried, [&](const TriedTactic& t) {
    Put(json, "kernel", t.kernel);
    Put(json, "verdict", t.verdict);
    PutDouble(json, "time_us", t.time_us);
  });
}

void PutGpu(Json& json, const GpuTarget& gpu) {
  if (gpu == GpuTarget{}) return;
  json.Key("gpu");
  json.StartObject();
  Put(json, "name", gpu.name);
  PutInt(json, "compute_capability", gpu.compute_capability);
  PutInt(json, "multiprocessors", gpu.multiprocessors);
  PutInt(json, "driver_min", gpu.driver_min);
  PutObjects(json, "libraries", gpu.libraries, [&](const PinnedLibrary& l) {
    Put(json, "name", l.name);
    Put(json, "version", l.version);
  });
  json.EndObject();
}

void PutTensor(Json& json, const Plan& plan, const TensorDef& t) {
  Put(json, "name", t.name);
  Put(json, "dtype", std::string(DTypeName(t.dtype)));
  Put(json, "shape", ShapeText(plan, t));
  Put(json, "region", RegionName(t.region));
  Put(json, "offset", t.offset);
  Put(json, "capacity_bytes", t.capacity_bytes);
}

void PutIo(Json& json, const Plan& plan, const char* key, const std::vector<IoDef>& list) {
  PutObjects(json, key, list, [&](const IoDef& io) {
    const TensorDef& t = plan.tensors[io.tensor];
    Put(json, "name", io.name);
    Put(json, "tensor", uint64_t{io.tensor});
    Put(json, "dtype", std::string(DTypeName(t.dtype)));
    Put(json, "shape", ShapeText(plan, t));
    PutBool(json, "pinned", io.is_pinned);
    PutBool(json, "channels_last", io.channels_last);
  });
}

void PrintCertificate(const Plan& plan, Out out) {
  const Certificate& c = plan.certificate;
  fmt::format_to(out, "verified     {}{}{}\n", c.verified ? "yes" : "NO", c.verified ? "" : ": ",
                 Safe(c.reason));
  fmt::format_to(out, "             rtol {} atol {}, batch invariance {}{}\n", c.rtol, c.atol,
                 !c.batch_checked ? "not checked" : (c.batch_invariant ? "holds" : "does NOT hold"),
                 c.figures_from_lockfile ? ", figures from the lockfile" : "");
  const auto names = SymbolNames(plan);
  for (const VerifiedCorner& v : c.corners) {
    fmt::format_to(out, "             {} fill {} '{}': {} elements{}, {}, max rel {:.3g}\n",
                   PointText(names, v.symbol_values), static_cast<int>(v.fill), Safe(v.output),
                   v.elements, v.sampled ? " (sampled)" : "", WorstErrorText({&v, 1}),
                   v.max_rel_error);
  }
}

// "avx2", or "avx2 (kernels chosen for amx)" where the two differ.
std::string TargetText(uint8_t isa, uint8_t available_isa) {
  if (available_isa <= isa) return IsaText(isa);
  return fmt::format("{} (kernels chosen for {})", IsaText(isa), IsaText(available_isa));
}

}  // namespace

std::string DimText(const Plan& plan, uint32_t dim) {
  int nodes_left = kMaxDimTextNodes;
  return DimTextAt(plan, dim, &nodes_left, false);
}

std::string ShapeText(const Plan& plan, const TensorDef& tensor) {
  std::string text = "[";
  for (size_t i = 0; i < tensor.shape.size(); ++i)
    text += (i == 0 ? "" : ",") + DimText(plan, tensor.shape[i]);
  return text + "]";
}

std::string WorstErrorText(std::span<const VerifiedCorner> corners) {
  VerifiedCorner worst;
  for (const VerifiedCorner& c : corners) {
    const bool worse = c.max_abs_error > worst.max_abs_error;
    const bool alike = c.max_abs_error == worst.max_abs_error;
    if (worse || (alike && c.max_abs_value > worst.max_abs_value)) worst = c;
  }
  std::string text = fmt::format("max abs error {:.3g}", worst.max_abs_error);
  // Absent from plans of builders that did not record it.
  if (worst.max_abs_value > 0)
    text += fmt::format(" beside values up to {:.3g}", worst.max_abs_value);
  return text;
}

double WorstAbsError(std::span<const VerifiedCorner> corners) {
  double worst = 0;
  for (const VerifiedCorner& c : corners) worst = std::max(worst, c.max_abs_error);
  return worst;
}

std::string HeaderText(const Header& h) {
  std::string text;
  Out out(text);
  fmt::format_to(out, "model        {}  (sha256 {})\n", Safe(h.model_name),
                 ToHex(h.model_digest).substr(0, 16));
  fmt::format_to(out, "builder      {}, format {} (reader {} or newer)\n", Safe(h.builder_version),
                 h.format_version, h.minimum_reader);
  fmt::format_to(out, "file         {} in {} sections, sha256 {}\n", BytesText(h.file_bytes),
                 h.sections.size(), ToHex(h.file_digest));
  fmt::format_to(out, "target       {}, {}\n", Safe(h.device), TargetText(h.isa, h.available_isa));
  PrintGpu(h.gpu, out);
  if (h.vendor_bytes > 0)
    fmt::format_to(out, "vendor       {} that only kernels read\n", BytesText(h.vendor_bytes));
  if (h.host_step_count > 0) {
    fmt::format_to(out, "host steps   {} of {} run on the CPU\n", h.host_step_count, h.step_count);
  }
  const auto ios = [&](const char* label, const std::vector<IoSummary>& list, uint32_t count) {
    for (const IoSummary& io : list) {
      fmt::format_to(out, "{:<12} {} {}{}{}\n", label, Safe(io.name), DTypeName(io.dtype),
                     Safe(io.shape), io.pinned ? " (pinned)" : "");
    }
    if (list.size() < count)
      fmt::format_to(out, "{:<12} ... {} more\n", label, count - list.size());
  };
  ios("input", h.inputs, h.input_count);
  ios("output", h.outputs, h.output_count);
  std::vector<std::string> names;
  for (const SymbolSummary& s : h.symbols) {
    names.push_back(Safe(s.name));
    fmt::format_to(out, "symbol       {} in [{}, {}], tuned for {}\n", names.back(), s.min, s.max,
                   s.opt);
  }
  if (h.symbols.size() < h.symbol_count)
    fmt::format_to(out, "symbol       ... {} more\n", h.symbol_count - h.symbols.size());
  fmt::format_to(
      out,
      "memory       weights {}, one context {} (activations {}, io {}, state {}, workspace {})\n",
      BytesText(h.weights_bytes), BytesText(h.context_bytes()), BytesText(h.activation_bytes),
      BytesText(h.io_bytes), BytesText(h.state_bytes), BytesText(h.workspace_bytes));
  for (const BucketSummary& b : h.buckets) {
    fmt::format_to(out, "bucket       {}: arena {}", PointText(names, b.symbol_values),
                   BytesText(b.arena_bytes));
    if (b.count > 0) {
      fmt::format_to(out, ", p50 {:.1f} us, p99 {:.1f} us, p99.9 {:.1f} us ({} runs)", b.p50_us,
                     b.p99_us, b.p999_us, b.count);
    }
    fmt::format_to(out, "\n");
  }
  if (h.buckets.size() < h.bucket_count)
    fmt::format_to(out, "bucket       ... {} more\n", h.bucket_count - h.buckets.size());
  fmt::format_to(out, "verified     {}{}{}{}\n", h.verified ? "yes" : "NO", h.verified ? "" : ": ",
                 Safe(h.unverified_reason),
                 h.figures_from_lockfile ? " (figures from the lockfile)" : "");
  return text;
}

std::string HeaderJson(const Header& h) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  Put(json, "model_name", h.model_name);
  Put(json, "model_sha256", ToHex(h.model_digest));
  Put(json, "builder_version", h.builder_version);
  Put(json, "format_version", uint64_t{h.format_version});
  Put(json, "minimum_reader", uint64_t{h.minimum_reader});
  Put(json, "file_bytes", h.file_bytes);
  Put(json, "file_sha256", ToHex(h.file_digest));
  Put(json, "device", h.device);
  Put(json, "isa", IsaText(h.isa));
  Put(json, "available_isa", IsaText(h.available_isa));
  PutGpu(json, h.gpu);
  Put(json, "vendor_bytes", h.vendor_bytes);
  Put(json, "host_step_count", uint64_t{h.host_step_count});
  Put(json, "step_count", uint64_t{h.step_count});
  const auto ios = [&](const char* key, const char* count_key, const std::vector<IoSummary>& list,
                       uint32_t count) {
    Put(json, count_key, uint64_t{count});
    PutObjects(json, key, list, [&](const IoSummary& io) {
      Put(json, "name", io.name);
      Put(json, "dtype", std::string(DTypeName(io.dtype)));
      Put(json, "shape", io.shape);
      PutBool(json, "pinned", io.pinned);
    });
  };
  ios("inputs", "input_count", h.inputs, h.input_count);
  ios("outputs", "output_count", h.outputs, h.output_count);
  Put(json, "symbol_count", uint64_t{h.symbol_count});
  PutObjects(json, "symbols", h.symbols, [&](const SymbolSummary& s) {
    Put(json, "name", s.name);
    PutInt(json, "min", s.min);
    PutInt(json, "opt", s.opt);
    PutInt(json, "max", s.max);
  });
  Put(json, "bucket_count", uint64_t{h.bucket_count});
  PutObjects(json, "buckets", h.buckets, [&](const BucketSummary& b) {
    PutInts(json, "symbol_values", b.symbol_values);
    Put(json, "arena_bytes", b.arena_bytes);
    Put(json, "timed_runs", b.count);
    PutDouble(json, "p50_us", b.p50_us);
    PutDouble(json, "p99_us", b.p99_us);
    PutDouble(json, "p999_us", b.p999_us);
  });
  Put(json, "weights_bytes", h.weights_bytes);
  Put(json, "activation_bytes", h.activation_bytes);
  Put(json, "io_bytes", h.io_bytes);
  Put(json, "state_bytes", h.state_bytes);
  Put(json, "workspace_bytes", h.workspace_bytes);
  PutBool(json, "verified", h.verified);
  Put(json, "unverified_reason", h.unverified_reason);
  PutBool(json, "figures_from_lockfile", h.figures_from_lockfile);
  PutBool(json, "batch_invariant", h.batch_invariant);
  PutObjects(json, "sections", h.sections, [&](const SectionInfo& s) {
    Put(json, "type", SectionTypeName(s.type));
    PutBool(json, "required", s.required);
    Put(json, "offset", s.offset);
    Put(json, "length", s.length);
    Put(json, "sha256_tree", ToHex(s.digest));
  });
  json.EndObject();
  return buffer.GetString();
}

std::string PlanText(const Plan& plan, const PrintOptions& options) {
  std::string text;
  Out out(text);
  fmt::format_to(out, "model        {}  (sha256 {})\n", Safe(plan.provenance.model_name),
                 ToHex(plan.provenance.model_digest));
  fmt::format_to(out, "builder      {}\noptions      {}\n", Safe(plan.provenance.builder_version),
                 Safe(plan.provenance.options));
  fmt::format_to(out, "target       {}, {}\n", Safe(plan.target.device),
                 TargetText(plan.target.isa, plan.target.selected_for()));
  PrintGpu(plan.target.gpu, out);
  if (const uint32_t count = HostStepCount(plan); count > 0)
    fmt::format_to(out, "host steps   {} of {} run on the CPU\n", count, plan.steps.size());
  for (const IoDef& io : plan.inputs) {
    fmt::format_to(out, "input        {} {}{}{}\n", Safe(io.name), OperandText(plan, io.tensor),
                   io.is_pinned ? " (pinned)" : "", LayoutText(io));
  }
  for (const IoDef& io : plan.outputs) {
    fmt::format_to(out, "output       {} {}{}\n", Safe(io.name), OperandText(plan, io.tensor),
                   LayoutText(io));
  }
  for (const Symbol& s : plan.symbols) {
    fmt::format_to(out, "symbol       {} in [{}, {}], tuned for {}\n", Safe(s.name), s.min, s.max,
                   s.opt);
  }
  for (const Count& c : plan.counts)
    fmt::format_to(out, "count        {} in [0, {}], found by a run\n", Safe(c.name), c.max);
  for (const EqualConstraint& c : plan.constraints) {
    fmt::format_to(out, "constraint   {} == {}  # {}\n", DimText(plan, c.a), DimText(plan, c.b),
                   Safe(c.reason));
  }
  fmt::format_to(out, "memory       weights {}, activations {}, io {}, state {}, workspace {}\n",
                 BytesText(plan.weights.size()), BytesText(plan.activation_bytes),
                 BytesText(plan.io_bytes), BytesText(plan.state_bytes),
                 BytesText(plan.workspace_bytes));
  const auto names = SymbolNames(plan);
  for (const Bucket& b : plan.buckets) {
    fmt::format_to(out, "bucket       {}: arena {}", PointText(names, b.symbol_values),
                   BytesText(b.arena_bytes));
    const Latency& l = b.latency;
    if (l.count > 0) {
      fmt::format_to(out, ", min {:.1f} p50 {:.1f} p99 {:.1f} p99.9 {:.1f} max {:.1f} us ({} runs)",
                     l.min_us, l.p50_us, l.p99_us, l.p999_us, l.max_us, l.count);
    }
    fmt::format_to(out, "\n");
  }
  PrintCertificate(plan, out);
  if (options.steps) {
    fmt::format_to(out, "\n{} steps\n", plan.steps.size());
    for (size_t i = 0; i < plan.steps.size(); ++i) PrintStep(plan, i, options, out);
  }
  if (options.tensors) {
    fmt::format_to(out, "\n{} tensors\n", plan.tensors.size());
    for (uint32_t i = 0; i < plan.tensors.size(); ++i) {
      const TensorDef& t = plan.tensors[i];
      fmt::format_to(out, "  {} '{}' {}+{} ({} bytes)\n", OperandText(plan, i), Safe(t.name),
                     RegionName(t.region), t.offset, t.capacity_bytes);
    }
  }
  if (options.fusions && !plan.fusions.empty()) {
    fmt::format_to(out, "\nfusions\n");
    for (const FusionRecord& f : plan.fusions) {
      fmt::format_to(out, "  {:<8} {:<28} {}{}{}\n", f.made ? "made" : "declined", Safe(f.pass),
                     Safe(f.nodes), f.reason.empty() ? "" : ": ", Safe(f.reason));
    }
  }
  return text;
}

std::string PlanJson(const Plan& plan, const PrintOptions& options) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  Put(json, "model_name", plan.provenance.model_name);
  Put(json, "model_sha256", ToHex(plan.provenance.model_digest));
  Put(json, "builder_version", plan.provenance.builder_version);
  Put(json, "options", plan.provenance.options);
  Put(json, "device", plan.target.device);
  Put(json, "isa", IsaText(plan.target.isa));
  Put(json, "available_isa", IsaText(plan.target.selected_for()));
  PutGpu(json, plan.target.gpu);
  PutIo(json, plan, "inputs", plan.inputs);
  PutIo(json, plan, "outputs", plan.outputs);
  PutObjects(json, "symbols", plan.symbols, [&](const Symbol& s) {
    Put(json, "name", s.name);
    PutInt(json, "min", s.min);
    PutInt(json, "opt", s.opt);
    PutInt(json, "max", s.max);
  });
  PutObjects(json, "counts", plan.counts, [&](const Count& c) {
    Put(json, "name", c.name);
    PutInt(json, "max", c.max);
  });
  Put(json, "weights_bytes", uint64_t{plan.weights.size()});
  Put(json, "activation_bytes", plan.activation_bytes);
  Put(json, "io_bytes", plan.io_bytes);
  Put(json, "state_bytes", plan.state_bytes);
  Put(json, "workspace_bytes", plan.workspace_bytes);
  PutObjects(json, "buckets", plan.buckets, [&](const Bucket& b) {
    PutInts(json, "symbol_values", b.symbol_values);
    Put(json, "arena_bytes", b.arena_bytes);
    Put(json, "timed_runs", b.latency.count);
    PutDouble(json, "min_us", b.latency.min_us);
    PutDouble(json, "p50_us", b.latency.p50_us);
    PutDouble(json, "p99_us", b.latency.p99_us);
    PutDouble(json, "p999_us", b.latency.p999_us);
    PutDouble(json, "max_us", b.latency.max_us);
  });
  const Certificate& c = plan.certificate;
  PutBool(json, "verified", c.verified);
  Put(json, "unverified_reason", c.reason);
  PutDouble(json, "rtol", c.rtol);
  PutDouble(json, "atol", c.atol);
  PutBool(json, "batch_invariant", c.batch_invariant);
  PutObjects(json, "corners", c.corners, [&](const VerifiedCorner& v) {
    PutInts(json, "symbol_values", v.symbol_values);
    Put(json, "fill", static_cast<uint64_t>(v.fill));
    Put(json, "output", v.output);
    PutBool(json, "sampled", v.sampled);
    PutInt(json, "elements", v.elements);
    PutDouble(json, "max_abs_error", v.max_abs_error);
    PutDouble(json, "max_rel_error", v.max_rel_error);
    PutDouble(json, "max_abs_value", v.max_abs_value);
  });
  if (options.steps)
    PutObjects(json, "steps", plan.steps, [&](const Step& s) { PutStep(json, s, options); });
  if (options.tensors)
    PutObjects(json, "tensors", plan.tensors,
               [&](const TensorDef& t) { PutTensor(json, plan, t); });
  if (options.fusions) {
    PutObjects(json, "fusions", plan.fusions, [&](const FusionRecord& f) {
      Put(json, "pass", f.pass);
      PutBool(json, "made", f.made);
      Put(json, "nodes", f.nodes);
      Put(json, "reason", f.reason);
    });
  }
  json.EndObject();
  return buffer.GetString();
}

}  // namespace fusee::plan
