#include "plan/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plan/container.h"
#include "plan/print.h"
#include "plan/verify.h"
#include "plan_schema_generated.h"

namespace fusee::plan {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

fb::Digest ToFb(const Sha256Digest& digest) {
  return fb::Digest(
      flatbuffers::span<const uint8_t, 32>(reinterpret_cast<const uint8_t*>(digest.data()), 32));
}

template <typename Out, typename In, typename Function>
auto Tables(FlatBufferBuilder& b, const std::vector<In>& values, Function&& make) {
  std::vector<Offset<Out>> offsets;
  offsets.reserve(values.size());
  for (const In& value : values) offsets.push_back(make(value));
  return b.CreateVector(offsets);
}

auto Strings(FlatBufferBuilder& b, const std::vector<std::string>& values) {
  return Tables<flatbuffers::String>(b, values,
                                     [&](const std::string& s) { return b.CreateString(s); });
}

auto Digests(FlatBufferBuilder& b, const std::vector<Sha256Digest>& values) {
  std::vector<fb::Digest> digests;
  digests.reserve(values.size());
  for (const Sha256Digest& d : values) digests.push_back(ToFb(d));
  return b.CreateVectorOfStructs(digests);
}

Offset<fb::Attr> MakeAttr(FlatBufferBuilder& b, const std::string& name, const AttrValue& value) {
  Offset<flatbuffers::String> text;
  Offset<flatbuffers::Vector<int64_t>> ints;
  Offset<flatbuffers::Vector<double>> floats;
  if (const auto* s = std::get_if<std::string>(&value)) text = b.CreateString(*s);
  if (const auto* v = std::get_if<std::vector<int64_t>>(&value)) ints = b.CreateVector(*v);
  if (const auto* v = std::get_if<std::vector<double>>(&value)) floats = b.CreateVector(*v);
  const auto name_offset = b.CreateString(name);
  const auto* i = std::get_if<int64_t>(&value);
  const auto* f = std::get_if<double>(&value);
  return fb::CreateAttr(b, name_offset, static_cast<uint8_t>(value.index()), i != nullptr ? *i : 0,
                        f != nullptr ? *f : 0, text, ints, floats);
}

// The section "vendor": every different configuration once, in the order of first use.
class VendorBytes {
 public:
  // 1 + its index; 0 for an empty one.
  uint32_t Add(const ConfigBytes& config) {
    if (config.empty()) return 0;
    const std::string_view key(reinterpret_cast<const char*>(config.data()), config.size());
    const auto [it, fresh] = known_.emplace(key, static_cast<uint32_t>(pieces_.size() + 1));
    if (fresh) {
      pieces_.emplace_back(bytes_.size(), config.size());
      bytes_.insert(bytes_.end(), config.begin(), config.end());
    }
    return it->second;
  }
  const std::vector<fb::Piece>& pieces() const { return pieces_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::map<std::string_view, uint32_t> known_;  // over the plan's own bytes
  std::vector<fb::Piece> pieces_;
  std::vector<std::byte> bytes_;
};

Offset<fb::Step> MakeStep(FlatBufferBuilder& b, const Step& step, VendorBytes* vendor) {
  std::vector<Offset<fb::Attr>> attrs;
  for (const auto& [name, value] : step.attrs.values()) attrs.push_back(MakeAttr(b, name, value));
  const auto op = b.CreateString(step.op);
  const auto kernel = b.CreateString(step.kernel);
  const auto attr_vector = b.CreateVector(attrs);
  const auto inputs = b.CreateVector(step.inputs);
  const auto outputs = b.CreateVector(step.outputs);
  const auto dims = b.CreateVector(step.dims);
  const uint32_t config = vendor->Add(step.config);
  Offset<flatbuffers::Vector<Offset<fb::BucketTactic>>> tactics;  // absent when there are none
  if (!step.bucket_tactics.empty()) {
    tactics = Tables<fb::BucketTactic>(b, step.bucket_tactics, [&](const BucketTactic& t) {
      const auto bucket_kernel = b.CreateString(t.kernel);
      return fb::CreateBucketTactic(b, t.bucket, bucket_kernel, vendor->Add(t.config));
    });
  }
  Offset<flatbuffers::Vector<uint32_t>> counts;  // as above
  if (!step.counts.empty()) counts = b.CreateVector(step.counts);
  Offset<flatbuffers::Vector<const fb::Guard*>> guards;
  if (!step.guards.empty()) {
    std::vector<fb::Guard> structs;
    for (const Guard& guard : step.guards) structs.emplace_back(guard.tensor, guard.holds ? 1 : 0);
    guards = b.CreateVectorOfStructs(structs);
  }
  return fb::CreateStep(b, op, kernel, attr_vector, inputs, outputs, dims, step.workspace_offset,
                        step.workspace_bytes, step.device, step.queue, config, tactics, counts,
                        guards);
}

Offset<fb::Tensor> MakeTensor(FlatBufferBuilder& b, const TensorDef& t) {
  const auto name = b.CreateString(t.name);
  const auto shape = b.CreateVector(t.shape);
  return fb::CreateTensor(b, name, static_cast<uint8_t>(t.dtype), static_cast<uint8_t>(t.region),
                          shape, t.offset, t.capacity_bytes);
}

Offset<fb::Io> MakeIo(FlatBufferBuilder& b, const IoDef& io) {
  const auto name = b.CreateString(io.name);
  const auto pinned =
      b.CreateVector(reinterpret_cast<const uint8_t*>(io.pinned.data()), io.pinned.size());
  return fb::CreateIo(b, name, io.tensor, io.is_pinned, pinned, io.channels_last);
}

Offset<fb::Bucket> MakeBucket(FlatBufferBuilder& b, const Bucket& bucket) {
  const Latency& l = bucket.latency;
  const fb::Latency latency(l.count, l.min_us, l.p50_us, l.p99_us, l.p999_us, l.max_us);
  const auto values = b.CreateVector(bucket.symbol_values);
  return fb::CreateBucket(b, values, bucket.arena_bytes, &latency);
}

Offset<fb::Provenance> MakeProvenance(FlatBufferBuilder& b, const Provenance& p) {
  const auto opsets = Tables<fb::Opset>(b, p.opsets, [&](const auto& opset) {
    const auto domain = b.CreateString(opset.first);
    return fb::CreateOpset(b, domain, opset.second);
  });
  const auto version = b.CreateString(p.builder_version);
  const auto model = b.CreateString(p.model_name);
  const auto options = b.CreateString(p.options);
  const fb::Digest model_digest = ToFb(p.model_digest);
  const fb::Digest lockfile_digest = ToFb(p.lockfile_digest);
  return fb::CreateProvenance(b, version, model, &model_digest, opsets, options, &lockfile_digest);
}

// Null for an empty one, so that a plan for the CPU has none.
Offset<fb::GpuTarget> MakeGpu(FlatBufferBuilder& b, const GpuTarget& gpu) {
  if (gpu == GpuTarget{}) return {};
  const auto name = b.CreateString(gpu.name);
  const auto libraries = Tables<fb::Library>(b, gpu.libraries, [&](const PinnedLibrary& l) {
    const auto library = b.CreateString(l.name);
    return fb::CreateLibrary(b, library, l.version);
  });
  return fb::CreateGpuTarget(b, name, gpu.compute_capability, gpu.multiprocessors, gpu.driver_min,
                             libraries);
}

void BuildProgram(FlatBufferBuilder& b, const Plan& plan, VendorBytes* vendor) {
  const auto provenance = MakeProvenance(b, plan.provenance);
  const auto device = b.CreateString(plan.target.device);
  const auto symbols = Tables<fb::Symbol>(b, plan.symbols, [&](const Symbol& s) {
    const auto name = b.CreateString(s.name);
    return fb::CreateSymbol(b, name, s.min, s.opt, s.max, s.input, s.axis, s.element);
  });
  Offset<flatbuffers::Vector<Offset<fb::Count>>> counts;
  if (!plan.counts.empty()) {
    counts = Tables<fb::Count>(b, plan.counts, [&](const Count& c) {
      const auto name = b.CreateString(c.name);
      return fb::CreateCount(b, name, c.max);
    });
  }
  std::vector<fb::Dim> dim_structs;
  dim_structs.reserve(plan.dims.size());
  for (const DimExpr& d : plan.dims)
    dim_structs.emplace_back(static_cast<uint64_t>(d.op), d.a, d.b);
  const auto dims = b.CreateVectorOfStructs(dim_structs);
  const auto tensors =
      Tables<fb::Tensor>(b, plan.tensors, [&](const TensorDef& t) { return MakeTensor(b, t); });
  const auto steps =
      Tables<fb::Step>(b, plan.steps, [&](const Step& s) { return MakeStep(b, s, vendor); });
  const auto inputs =
      Tables<fb::Io>(b, plan.inputs, [&](const IoDef& io) { return MakeIo(b, io); });
  const auto outputs =
      Tables<fb::Io>(b, plan.outputs, [&](const IoDef& io) { return MakeIo(b, io); });
  const auto constraints =
      Tables<fb::Constraint>(b, plan.constraints, [&](const EqualConstraint& c) {
        const auto reason = b.CreateString(c.reason);
        return fb::CreateConstraint(b, c.a, c.b, reason);
      });
  const auto buckets = Tables<fb::Bucket>(
      b, plan.buckets, [&](const Bucket& bucket) { return MakeBucket(b, bucket); });
  const auto gpu = MakeGpu(b, plan.target.gpu);
  Offset<flatbuffers::Vector<const fb::Piece*>> configs;
  if (!vendor->pieces().empty()) configs = b.CreateVectorOfStructs(vendor->pieces());
  b.Finish(fb::CreateProgram(b, provenance, device, plan.target.isa, symbols, dims, tensors, steps,
                             inputs, outputs, constraints, buckets, plan.activation_bytes,
                             plan.io_bytes, plan.state_bytes, plan.workspace_bytes,
                             plan.target.available_isa, gpu, configs, counts));
}

void BuildCertificate(FlatBufferBuilder& b, const Certificate& c) {
  const auto corners = Tables<fb::Corner>(b, c.corners, [&](const VerifiedCorner& corner) {
    const auto values = b.CreateVector(corner.symbol_values);
    const auto output = b.CreateString(corner.output);
    return fb::CreateCorner(b, values, static_cast<uint8_t>(corner.fill), output, corner.sampled,
                            corner.elements, corner.max_abs_error, corner.max_rel_error,
                            corner.max_abs_value);
  });
  const auto golden = Tables<fb::Golden>(b, c.golden, [&](const Golden& g) {
    const auto values = b.CreateVector(g.symbol_values);
    const auto digests = Digests(b, g.output_digests);
    return fb::CreateGolden(b, values, static_cast<uint8_t>(g.fill), g.seed, digests);
  });
  const auto reason = b.CreateString(c.reason);
  b.Finish(fb::CreateCertificate(b, c.verified, reason, c.figures_from_lockfile, c.rtol, c.atol,
                                 c.batch_invariant, c.batch_checked, corners, golden));
}

void BuildRecord(FlatBufferBuilder& b, const Plan& plan) {
  const auto steps = Tables<fb::StepRecord>(b, plan.steps, [&](const Step& s) {
    const auto tried = Tables<fb::Tried>(b, s.tried, [&](const TriedTactic& t) {
      const auto kernel = b.CreateString(t.kernel);
      const auto verdict = b.CreateString(t.verdict);
      return fb::CreateTried(b, kernel, verdict, t.time_us);
    });
    const auto sources = Strings(b, s.sources);
    return fb::CreateStepRecord(b, sources, tried);
  });
  const auto fusions = Tables<fb::Fusion>(b, plan.fusions, [&](const FusionRecord& f) {
    const auto pass = b.CreateString(f.pass);
    const auto nodes = b.CreateString(f.nodes);
    const auto reason = b.CreateString(f.reason);
    return fb::CreateFusion(b, pass, f.made, nodes, reason);
  });
  b.Finish(fb::CreateRecord(b, steps, fusions));
}

// How much of the lists goes into the summary; tried in order until it fits.
struct SummaryLimits {
  size_t ios, symbols, buckets, name_bytes;
};

std::string Cut(const std::string& text, size_t limit) {
  return text.size() <= limit ? text : text.substr(0, limit - 3) + "...";
}

template <typename T>
std::vector<T> Head(const std::vector<T>& values, size_t limit) {
  return {values.begin(), values.begin() + static_cast<ptrdiff_t>(std::min(values.size(), limit))};
}

void BuildSummary(FlatBufferBuilder& b, const Plan& plan, uint64_t vendor_bytes,
                  const SummaryLimits& limits) {
  const auto io_table = [&](const IoDef& io) {
    const TensorDef& tensor = plan.tensors[io.tensor];
    const auto name = b.CreateString(Cut(io.name, limits.name_bytes));
    const auto shape = b.CreateString(Cut(ShapeText(plan, tensor), limits.name_bytes));
    return fb::CreateIoSummary(b, name, static_cast<uint8_t>(tensor.dtype), shape, io.is_pinned);
  };
  const auto model = b.CreateString(Cut(plan.provenance.model_name, limits.name_bytes));
  const auto version = b.CreateString(Cut(plan.provenance.builder_version, limits.name_bytes));
  const auto device = b.CreateString(Cut(plan.target.device, limits.name_bytes));
  const auto reason = b.CreateString(Cut(plan.certificate.reason, limits.name_bytes));
  const auto inputs = Tables<fb::IoSummary>(b, Head(plan.inputs, limits.ios), io_table);
  const auto outputs = Tables<fb::IoSummary>(b, Head(plan.outputs, limits.ios), io_table);
  const auto symbols =
      Tables<fb::SymbolSummary>(b, Head(plan.symbols, limits.symbols), [&](const Symbol& s) {
        const auto name = b.CreateString(Cut(s.name, limits.name_bytes));
        return fb::CreateSymbolSummary(b, name, s.min, s.opt, s.max);
      });
  const auto buckets =
      Tables<fb::BucketSummary>(b, Head(plan.buckets, limits.buckets), [&](const Bucket& bucket) {
        const auto values = b.CreateVector(bucket.symbol_values);
        const Latency& l = bucket.latency;
        return fb::CreateBucketSummary(b, values, bucket.arena_bytes, l.count, l.p50_us, l.p99_us,
                                       l.p999_us);
      });
  const auto gpu = MakeGpu(b, plan.target.gpu);
  const fb::Digest digest = ToFb(plan.provenance.model_digest);
  const auto count = [](const auto& list) { return static_cast<uint32_t>(list.size()); };
  b.Finish(fb::CreateSummary(
      b, model, version, &digest, device, plan.target.isa, count(plan.inputs), count(plan.outputs),
      count(plan.symbols), count(plan.buckets), count(plan.steps), inputs, outputs, symbols,
      buckets, plan.weights.size(), plan.activation_bytes, plan.io_bytes, plan.state_bytes,
      plan.workspace_bytes, plan.certificate.verified, reason,
      plan.certificate.figures_from_lockfile, plan.certificate.batch_invariant,
      plan.target.available_isa, gpu, vendor_bytes, HostStepCount(plan)));
}

std::span<const std::byte> BytesOf(const FlatBufferBuilder& b) {
  return {reinterpret_cast<const std::byte*>(b.GetBufferPointer()), b.GetSize()};
}

}  // namespace

Result<std::vector<std::byte>> Encode(const Plan& plan) {
  if (Status s = Verify(plan); !s.ok()) {
    return Internal(
        fmt::format("the builder made an invalid plan: {}; please report", s.message()));
  }
  FlatBufferBuilder program(1 << 16);
  VendorBytes vendor;
  BuildProgram(program, plan, &vendor);
  FlatBufferBuilder certificate;
  BuildCertificate(certificate, plan.certificate);
  FlatBufferBuilder record;
  BuildRecord(record, plan);
  std::vector<SectionBytes> sections = {
      {SectionType::kProgram, true, BytesOf(program)},
      {SectionType::kCertificate, true, BytesOf(certificate)},
      {SectionType::kRecord, false, BytesOf(record)},
  };
  // Required: a reader that left the configurations out would compute other bits.
  if (!vendor.bytes().empty()) sections.push_back({SectionType::kVendor, true, vendor.bytes()});
  sections.push_back({SectionType::kWeights, true, plan.weights});
  constexpr SummaryLimits kLadder[] = {{64, 64, 64, 256}, {32, 32, 32, 128}, {16, 16, 16, 96},
                                       {8, 8, 12, 64},    {8, 4, 8, 40},     {4, 2, 4, 32},
                                       {2, 1, 1, 24},     {0, 0, 0, 16}};
  for (const SummaryLimits& limits : kLadder) {
    FlatBufferBuilder summary;
    BuildSummary(summary, plan, vendor.bytes().size(), limits);
    if (summary.GetSize() <= SummaryCapacity(sections.size()))
      return BuildContainer(sections, BytesOf(summary),
                            NeedsFormat2(plan) ? kMinimumReaderOfFormat2 : kMinimumReader);
  }
  return Internal("the plan's summary does not fit into its header; please report");
}

}  // namespace fusee::plan
