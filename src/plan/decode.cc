#include "plan/decode.h"

#include <fmt/format.h>

#include <cstring>

#include "plan/container.h"
#include "plan/verify.h"
#include "plan_schema_generated.h"

namespace fusee::plan {
namespace {

// Converts FlatBuffers values. Two dangers remain after FlatBuffers' verifier: absent fields (null
// pointers), and many references to one object, which would make a small file into a huge plan.
// Absent reads as empty; every copied byte is charged against the section's size, which an honest
// file, having no shared objects, cannot exceed. Once exhausted, every further value reads as empty
// and the caller refuses the section.
class Reader {
 public:
  explicit Reader(size_t section_bytes) : budget_(section_bytes) {}
  bool exhausted() const { return exhausted_; }

  std::string Text(const flatbuffers::String* s) {
    return s != nullptr && Charge(s->size()) ? std::string(s->c_str(), s->size()) : std::string();
  }

  template <typename T>
  std::vector<T> Numbers(const flatbuffers::Vector<T>* v) {
    if (v == nullptr || !Charge(uint64_t{v->size()} * sizeof(T))) return {};
    std::vector<T> result(v->size());
    CopyFrom(v->Data(), result.size(), result.data());
    return result;
  }

  std::vector<std::byte> Bytes(const flatbuffers::Vector<uint8_t>* v) {
    if (v == nullptr || !Charge(v->size())) return {};
    const auto* data = reinterpret_cast<const std::byte*>(v->data());
    return std::vector<std::byte>(data, data + v->size());
  }

  // Each element costs its reference, so the number of elements is bounded too.
  template <typename Out, typename In, typename Convert>
  std::vector<Out> Tables(const flatbuffers::Vector<flatbuffers::Offset<In>>* v,
                          Convert&& convert) {
    std::vector<Out> result;
    if (v == nullptr || !Charge(uint64_t{v->size()} * sizeof(flatbuffers::uoffset_t)))
      return result;
    result.reserve(v->size());
    for (const In* in : *v) {
      if (exhausted_) break;
      result.push_back(convert(*in));
    }
    return result;
  }

  template <typename Out, typename In, typename Convert>
  std::vector<Out> Structs(const flatbuffers::Vector<const In*>* v, Convert&& convert) {
    std::vector<Out> result;
    if (v == nullptr || !Charge(uint64_t{v->size()} * sizeof(In))) return result;
    std::vector<In> structs(v->size());
    CopyFrom(v->Data(), structs.size(), structs.data());
    result.reserve(structs.size());
    for (const In& in : structs) result.push_back(convert(in));
    return result;
  }

  // FlatBuffers' verifier does not check that vectors are aligned to their elements; memcpy does
  // not care.
  template <typename T>
  static void CopyFrom(const uint8_t* data, size_t count, T* out) {
    if (count > 0) std::memcpy(static_cast<void*>(out), data, count * sizeof(T));
  }

  static Sha256Digest ToDigest(const fb::Digest* digest) {
    Sha256Digest result{};
    if (digest != nullptr) std::memcpy(result.data(), digest->bytes()->data(), result.size());
    return result;
  }

 private:
  bool Charge(uint64_t bytes) {
    exhausted_ = exhausted_ || bytes > budget_;
    if (!exhausted_) budget_ -= bytes;
    return !exhausted_;
  }

  uint64_t budget_;
  bool exhausted_ = false;
};

// FlatBuffers' own verifier over one section; null when it refuses. Tables are nested at most 4
// deep.
template <typename Table>
const Table* VerifiedRoot(std::span<const std::byte> section) {
  constexpr flatbuffers::uoffset_t kMaxDepth = 16;
  constexpr flatbuffers::uoffset_t kMaxTables = 1u << 24;
  const auto* data = reinterpret_cast<const uint8_t*>(section.data());
  if (section.size() < 8 || section.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return nullptr;
  flatbuffers::Verifier verifier(data, section.size(), kMaxDepth, kMaxTables);
  return verifier.VerifyBuffer<Table>(nullptr) ? flatbuffers::GetRoot<Table>(data) : nullptr;
}

Status Malformed(std::string_view section) {
  return InvalidArgument(
      fmt::format("plan section '{}' is not a well-formed FlatBuffer of its schema", section));
}

Status CheckBudget(const Reader& reader, std::string_view section) {
  if (!reader.exhausted()) return OkStatus();
  return InvalidArgument(
      fmt::format("plan section '{}' unfolds to more than its own size", section));
}

Attrs ToAttrs(Reader& r, const flatbuffers::Vector<flatbuffers::Offset<fb::Attr>>* stored,
              bool* valid) {
  Attrs attrs;
  using Entry = std::pair<std::string, AttrValue>;
  auto entries = r.Tables<Entry>(stored, [&](const fb::Attr& a) -> Entry {
    std::string name = r.Text(a.name());
    switch (a.kind()) {
      case 0: return {std::move(name), a.i()};
      case 1: return {std::move(name), a.f()};
      case 2: return {std::move(name), r.Text(a.s())};
      case 3: return {std::move(name), r.Numbers(a.ints())};
      case 4: return {std::move(name), r.Numbers(a.floats())};
      default: *valid = false; return {std::move(name), int64_t{0}};
    }
  });
  for (Entry& entry : entries) {
    if (attrs.Has(entry.first)) *valid = false;
    attrs.Set(std::move(entry.first), std::move(entry.second));
  }
  return attrs;
}

// The configurations of the section "vendor", which the program's table cuts into pieces without
// gaps: each is copied once, however many steps share it.
Result<std::vector<ConfigBytes>> CutVendor(Reader& r,
                                           const flatbuffers::Vector<const fb::Piece*>* stored,
                                           std::span<const std::byte> section) {
  const auto pieces = r.Structs<std::pair<uint64_t, uint64_t>>(
      stored, [](const fb::Piece& p) { return std::pair(p.offset(), p.length()); });
  std::vector<ConfigBytes> configs;
  configs.reserve(pieces.size());
  uint64_t at = 0;
  for (const auto& [offset, length] : pieces) {
    if (offset != at || length == 0 || length > kMaxConfigBytes || length > section.size() - at) {
      return InvalidArgument(fmt::format(
          "plan section 'vendor': configuration {} has {} bytes at {}, expected 1 to {} at {} "
          "within the section's {}",
          configs.size(), length, offset, kMaxConfigBytes, at, section.size()));
    }
    const auto bytes = section.subspan(at, length);
    configs.emplace_back(std::vector<std::byte>(bytes.begin(), bytes.end()));
    at += length;
  }
  if (at != section.size()) {
    return InvalidArgument(fmt::format(
        "plan section 'vendor' has {} bytes, the program's configurations {}", section.size(), at));
  }
  return configs;
}

// Step and bucket configurations by their stored number: 0 is none.
class ConfigTable {
 public:
  explicit ConfigTable(std::vector<ConfigBytes> configs) : configs_(std::move(configs)) {}
  ConfigBytes At(uint32_t number, bool* valid) const {
    if (number == 0) return {};
    if (number > configs_.size()) {
      *valid = false;
      return {};
    }
    return configs_[number - 1];
  }

 private:
  std::vector<ConfigBytes> configs_;
};

Step ToStep(Reader& r, const fb::Step& s, const ConfigTable& configs, bool* valid) {
  Step step;
  step.op = r.Text(s.op());
  step.kernel = r.Text(s.kernel());
  step.attrs = ToAttrs(r, s.attrs(), valid);
  step.inputs = r.Numbers(s.inputs());
  step.outputs = r.Numbers(s.outputs());
  step.dims = r.Numbers(s.dims());
  step.counts = r.Numbers(s.counts());
  step.guards = r.Structs<Guard>(s.guards(), [&](const fb::Guard& g) {
    if (g.holds() > 1) *valid = false;
    return Guard{g.tensor(), g.holds() != 0};
  });
  step.workspace_offset = s.workspace_offset();
  step.workspace_bytes = s.workspace_bytes();
  step.device = s.device();
  step.queue = s.queue();
  step.config = configs.At(s.config(), valid);
  step.bucket_tactics = r.Tables<BucketTactic>(s.bucket_tactics(), [&](const fb::BucketTactic& t) {
    return BucketTactic{t.bucket(), r.Text(t.kernel()), configs.At(t.config(), valid)};
  });
  return step;
}

TensorDef ToTensor(Reader& r, const fb::Tensor& t) {
  return {r.Text(t.name()),     static_cast<DType>(t.dtype()),
          r.Numbers(t.shape()), static_cast<Region>(t.region()),
          t.offset(),           t.capacity()};
}

IoDef ToIo(Reader& r, const fb::Io& io) {
  return {r.Text(io.name()), io.tensor(), r.Bytes(io.pinned()), io.is_pinned(), io.channels_last()};
}

Bucket ToBucket(Reader& r, const fb::Bucket& b) {
  Bucket bucket{r.Numbers(b.symbol_values()), b.arena_bytes(), {}};
  if (const fb::Latency* l = b.latency()) {
    bucket.latency = {l->count(), l->min_us(), l->p50_us(), l->p99_us(), l->p999_us(), l->max_us()};
  }
  return bucket;
}

GpuTarget ToGpu(Reader& r, const fb::GpuTarget* gpu) {
  GpuTarget result;
  if (gpu == nullptr) return result;
  result.name = r.Text(gpu->name());
  result.compute_capability = gpu->compute_capability();
  result.multiprocessors = gpu->multiprocessors();
  result.driver_min = gpu->driver_min();
  result.libraries = r.Tables<PinnedLibrary>(gpu->libraries(), [&](const fb::Library& l) {
    return PinnedLibrary{r.Text(l.name()), l.version()};
  });
  return result;
}

Provenance ToProvenance(Reader& r, const fb::Provenance* p) {
  Provenance result;
  if (p == nullptr) return result;
  result.builder_version = r.Text(p->builder_version());
  result.model_name = r.Text(p->model_name());
  result.model_digest = Reader::ToDigest(p->model_digest());
  result.opsets = r.Tables<std::pair<std::string, int64_t>>(p->opsets(), [&](const fb::Opset& o) {
    return std::pair<std::string, int64_t>(r.Text(o.domain()), o.version());
  });
  result.options = r.Text(p->options());
  result.lockfile_digest = Reader::ToDigest(p->lockfile_digest());
  return result;
}

Status DecodeProgram(std::span<const std::byte> section, std::span<const std::byte> vendor,
                     Plan* plan) {
  const fb::Program* p = VerifiedRoot<fb::Program>(section);
  if (p == nullptr) return Malformed("program");
  Reader r(section.size());
  bool valid = true;
  plan->provenance = ToProvenance(r, p->provenance());
  plan->target = {r.Text(p->device()), p->isa(), p->available_isa(), ToGpu(r, p->gpu())};
  FUSEE_TRY(std::vector<ConfigBytes> cut, CutVendor(r, p->configs(), vendor));
  const ConfigTable configs(std::move(cut));
  plan->symbols = r.Tables<Symbol>(p->symbols(), [&](const fb::Symbol& s) {
    return Symbol{r.Text(s.name()), s.min(), s.opt(), s.max(), s.input(), s.axis(), s.element()};
  });
  plan->counts = r.Tables<Count>(p->counts(), [&](const fb::Count& c) {
    return Count{r.Text(c.name()), c.max()};
  });
  plan->dims = r.Structs<DimExpr>(p->dims(), [&](const fb::Dim& d) {
    if (d.op() > static_cast<uint64_t>(DimOp::kCount)) valid = false;
    return DimExpr{static_cast<DimOp>(d.op()), d.a(), d.b()};
  });
  plan->tensors =
      r.Tables<TensorDef>(p->tensors(), [&](const fb::Tensor& t) { return ToTensor(r, t); });
  plan->steps =
      r.Tables<Step>(p->steps(), [&](const fb::Step& s) { return ToStep(r, s, configs, &valid); });
  plan->inputs = r.Tables<IoDef>(p->inputs(), [&](const fb::Io& io) { return ToIo(r, io); });
  plan->outputs = r.Tables<IoDef>(p->outputs(), [&](const fb::Io& io) { return ToIo(r, io); });
  plan->constraints = r.Tables<EqualConstraint>(p->constraints(), [&](const fb::Constraint& c) {
    return EqualConstraint{c.a(), c.b(), r.Text(c.reason())};
  });
  plan->buckets =
      r.Tables<Bucket>(p->buckets(), [&](const fb::Bucket& b) { return ToBucket(r, b); });
  plan->activation_bytes = p->activation_bytes();
  plan->io_bytes = p->io_bytes();
  plan->state_bytes = p->state_bytes();
  plan->workspace_bytes = p->workspace_bytes();
  FUSEE_TRY(CheckBudget(r, "program"));
  if (!valid)
    return InvalidArgument(
        "plan section 'program' holds an unknown dimension operation, attribute kind or guard, or "
        "names a "
        "configuration that is not there");
  return OkStatus();
}

Status DecodeCertificate(std::span<const std::byte> section, Certificate* out) {
  const fb::Certificate* c = VerifiedRoot<fb::Certificate>(section);
  if (c == nullptr) return Malformed("certificate");
  Reader r(section.size());
  out->verified = c->verified();
  out->reason = r.Text(c->reason());
  out->figures_from_lockfile = c->figures_from_lockfile();
  out->rtol = c->rtol();
  out->atol = c->atol();
  out->batch_invariant = c->batch_invariant();
  out->batch_checked = c->batch_checked();
  out->corners = r.Tables<VerifiedCorner>(c->corners(), [&](const fb::Corner& v) {
    return VerifiedCorner{r.Numbers(v.symbol_values()),
                          static_cast<Fill>(v.fill()),
                          r.Text(v.output()),
                          v.sampled(),
                          v.elements(),
                          v.max_abs_error(),
                          v.max_rel_error(),
                          v.max_abs_value()};
  });
  out->golden = r.Tables<Golden>(c->golden(), [&](const fb::Golden& g) {
    return Golden{r.Numbers(g.symbol_values()), static_cast<Fill>(g.fill()), g.seed(),
                  r.Structs<Sha256Digest>(g.output_digests(), [](const fb::Digest& d) {
                    return Reader::ToDigest(&d);
                  })};
  });
  return CheckBudget(r, "certificate");
}

Status DecodeRecord(std::span<const std::byte> section, Plan* plan) {
  const fb::Record* record = VerifiedRoot<fb::Record>(section);
  if (record == nullptr) return Malformed("record");
  Reader r(section.size());
  size_t next = 0;
  using None = char;
  (void)r.Tables<None>(record->steps(), [&](const fb::StepRecord& s) {
    std::vector<std::string> sources = r.Tables<std::string>(
        s.sources(), [&](const flatbuffers::String& text) { return r.Text(&text); });
    std::vector<TriedTactic> tried = r.Tables<TriedTactic>(s.tried(), [&](const fb::Tried& t) {
      return TriedTactic{r.Text(t.kernel()), r.Text(t.verdict()), t.time_us()};
    });
    if (next < plan->steps.size()) {
      plan->steps[next].sources = std::move(sources);
      plan->steps[next].tried = std::move(tried);
    }
    ++next;
    return None{};
  });
  plan->fusions = r.Tables<FusionRecord>(record->fusions(), [&](const fb::Fusion& f) {
    return FusionRecord{r.Text(f.pass()), f.made(), r.Text(f.nodes()), r.Text(f.reason())};
  });
  FUSEE_TRY(CheckBudget(r, "record"));
  if (next != plan->steps.size()) {
    return InvalidArgument(fmt::format(
        "plan section 'record' tells of {} steps, the program has {}", next, plan->steps.size()));
  }
  return OkStatus();
}

Status DecodeSummary(std::span<const std::byte> bytes, Header* header) {
  const fb::Summary* s = VerifiedRoot<fb::Summary>(bytes);
  if (s == nullptr) return Malformed("summary");
  Reader r(bytes.size());
  const auto io = [&](const fb::IoSummary& i) {
    return IoSummary{r.Text(i.name()), static_cast<DType>(i.dtype()), r.Text(i.shape()),
                     i.pinned()};
  };
  header->model_name = r.Text(s->model_name());
  header->builder_version = r.Text(s->builder_version());
  header->model_digest = Reader::ToDigest(s->model_digest());
  header->device = r.Text(s->device());
  header->isa = s->isa();
  header->available_isa = s->available_isa() == 0 ? s->isa() : s->available_isa();
  header->input_count = s->input_count();
  header->output_count = s->output_count();
  header->symbol_count = s->symbol_count();
  header->bucket_count = s->bucket_count();
  header->step_count = s->step_count();
  header->inputs = r.Tables<IoSummary>(s->inputs(), io);
  header->outputs = r.Tables<IoSummary>(s->outputs(), io);
  header->symbols = r.Tables<SymbolSummary>(s->symbols(), [&](const fb::SymbolSummary& symbol) {
    return SymbolSummary{r.Text(symbol.name()), symbol.min(), symbol.opt(), symbol.max()};
  });
  header->buckets = r.Tables<BucketSummary>(s->buckets(), [&](const fb::BucketSummary& b) {
    return BucketSummary{r.Numbers(b.symbol_values()),
                         b.arena_bytes(),
                         b.count(),
                         b.p50_us(),
                         b.p99_us(),
                         b.p999_us()};
  });
  header->weights_bytes = s->weights_bytes();
  header->activation_bytes = s->activation_bytes();
  header->io_bytes = s->io_bytes();
  header->state_bytes = s->state_bytes();
  header->workspace_bytes = s->workspace_bytes();
  header->verified = s->verified();
  header->unverified_reason = r.Text(s->unverified_reason());
  header->figures_from_lockfile = s->figures_from_lockfile();
  header->batch_invariant = s->batch_invariant();
  header->gpu = ToGpu(r, s->gpu());
  header->vendor_bytes = s->vendor_bytes();
  header->host_step_count = s->host_step_count();
  return CheckBudget(r, "summary");
}

// The header is what people and schedulers read; a file whose header tells another story than its
// program is refused.
Status CheckHeaderAgrees(const Header& header, const Plan& plan, uint64_t vendor_bytes) {
  const bool agrees =
      header.gpu == plan.target.gpu && header.vendor_bytes == vendor_bytes &&
      header.host_step_count == HostStepCount(plan) && header.device == plan.target.device &&
      header.isa == plan.target.isa && header.available_isa == plan.target.selected_for() &&
      header.input_count == plan.inputs.size() && header.output_count == plan.outputs.size() &&
      header.step_count == plan.steps.size() && header.symbol_count == plan.symbols.size() &&
      header.bucket_count == plan.buckets.size() && header.weights_bytes == plan.weights.size() &&
      header.activation_bytes == plan.activation_bytes && header.io_bytes == plan.io_bytes &&
      header.state_bytes == plan.state_bytes && header.workspace_bytes == plan.workspace_bytes &&
      header.verified == plan.certificate.verified &&
      header.batch_invariant == plan.certificate.batch_invariant &&
      header.figures_from_lockfile == plan.certificate.figures_from_lockfile &&
      header.model_digest == plan.provenance.model_digest;
  return agrees ? OkStatus()
                : InvalidArgument("plan header and program disagree; rebuild the plan");
}

// The one section of a type, or null; two are refused, as is an unknown required one.
struct SectionSpans {
  const SectionInfo* program = nullptr;
  const SectionInfo* weights = nullptr;
  const SectionInfo* certificate = nullptr;
  const SectionInfo* record = nullptr;
  const SectionInfo* vendor = nullptr;
};

Result<SectionSpans> FindSections(const Header& header) {
  SectionSpans found;
  for (const SectionInfo& s : header.sections) {
    const SectionInfo** slot = nullptr;
    switch (static_cast<SectionType>(s.type)) {
      case SectionType::kProgram: slot = &found.program; break;
      case SectionType::kWeights: slot = &found.weights; break;
      case SectionType::kCertificate: slot = &found.certificate; break;
      case SectionType::kRecord: slot = &found.record; break;
      case SectionType::kVendor: slot = &found.vendor; break;
    }
    if (slot == nullptr && s.required) {
      return FailedPrecondition(
          fmt::format("plan needs {}, which this reader does not know; upgrade fusee or rebuild",
                      SectionTypeName(s.type)));
    }
    if (slot == nullptr) continue;
    if (*slot != nullptr)
      return InvalidArgument(fmt::format("plan has two sections '{}'", SectionTypeName(s.type)));
    *slot = &s;
  }
  if (found.program == nullptr || found.weights == nullptr || found.certificate == nullptr) {
    return InvalidArgument("plan lacks a section: program, weights and certificate are required");
  }
  return found;
}

}  // namespace

Result<Header> ReadHeader(std::span<const std::byte> prefix, std::optional<uint64_t> file_bytes) {
  FUSEE_TRY(ContainerHeader container, ReadContainerHeader(prefix, file_bytes));
  Header header;
  header.format_version = container.format_version;
  header.minimum_reader = container.minimum_reader;
  header.file_bytes = container.file_bytes;
  header.file_digest = container.file_digest;
  header.sections = std::move(container.sections);
  // FlatBuffers wants its own alignment; the page's is whatever the caller's buffer has.
  std::vector<uint64_t> aligned(container.summary.size() / sizeof(uint64_t) + 1);
  if (!container.summary.empty())
    std::memcpy(aligned.data(), container.summary.data(), container.summary.size());
  FUSEE_TRY(
      DecodeSummary(std::as_bytes(std::span(aligned)).first(container.summary.size()), &header));
  return header;
}

Result<std::shared_ptr<const Plan>> Decode(std::span<const std::byte> bytes,
                                           std::shared_ptr<const void> owner, TaskRunner runner) {
  FUSEE_TRY(const ContainerHeader container, ReadContainerHeader(bytes, bytes.size()));
  FUSEE_TRY(CheckSections(bytes, container, runner));
  FUSEE_TRY(const Header header, ReadHeader(bytes, bytes.size()));
  FUSEE_TRY(const SectionSpans sections, FindSections(header));
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint64_t) != 0) {
    return InvalidArgument("plan bytes must be 8-byte aligned in memory");
  }
  const auto span_of = [&](const SectionInfo* s) { return bytes.subspan(s->offset, s->length); };
  auto plan = std::make_shared<Plan>();
  const std::span<const std::byte> vendor =
      sections.vendor != nullptr ? span_of(sections.vendor) : std::span<const std::byte>();
  FUSEE_TRY(DecodeProgram(span_of(sections.program), vendor, plan.get()));
  FUSEE_TRY(DecodeCertificate(span_of(sections.certificate), &plan->certificate));
  if (sections.record != nullptr) FUSEE_TRY(DecodeRecord(span_of(sections.record), plan.get()));
  plan->weights = span_of(sections.weights);
  plan->weights_owner = std::move(owner);
  FUSEE_TRY(CheckHeaderAgrees(header, *plan, vendor.size()));
  FUSEE_TRY(Verify(*plan));
  return std::shared_ptr<const Plan>(std::move(plan));
}

}  // namespace fusee::plan
