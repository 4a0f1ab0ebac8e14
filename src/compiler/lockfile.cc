#include "compiler/lockfile.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>

namespace fusee::compiler {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;
using Object = simdjson::dom::object;
using Array = simdjson::dom::array;

constexpr Isa kIsas[] = {Isa::kAvx2, Isa::kAvx512, Isa::kVnni, Isa::kBf16, Isa::kAmx};

void Key(Writer& w, std::string_view key) {
  w.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
}
void Text(Writer& w, std::string_view key, std::string_view value) {
  Key(w, key);
  w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}
void Number(Writer& w, std::string_view key, double value) {
  Key(w, key);
  w.Double(value);
}
void Integer(Writer& w, std::string_view key, int64_t value) {
  Key(w, key);
  w.Int64(value);
}
void Flag(Writer& w, std::string_view key, bool value) {
  Key(w, key);
  w.Bool(value);
}
void Point(Writer& w, const std::vector<int64_t>& values) {
  Key(w, "at");
  w.StartArray();
  for (int64_t v : values) w.Int64(v);
  w.EndArray();
}

void WriteCertificate(Writer& w, const plan::Certificate& c) {
  Key(w, "certificate");
  w.StartObject();
  Flag(w, "verified", c.verified);
  Text(w, "reason", c.reason);
  Number(w, "rtol", c.rtol);
  Number(w, "atol", c.atol);
  Flag(w, "batch_checked", c.batch_checked);
  Flag(w, "batch_invariant", c.batch_invariant);
  Key(w, "corners");
  w.StartArray();
  for (const plan::VerifiedCorner& corner : c.corners) {
    w.StartObject();
    Point(w, corner.symbol_values);
    Integer(w, "fill", static_cast<int64_t>(corner.fill));
    Text(w, "output", corner.output);
    Flag(w, "sampled", corner.sampled);
    Integer(w, "elements", corner.elements);
    Number(w, "max_abs_error", corner.max_abs_error);
    Number(w, "max_rel_error", corner.max_rel_error);
    Number(w, "max_abs_value", corner.max_abs_value);
    w.EndObject();
  }
  w.EndArray();
  Key(w, "golden");
  w.StartArray();
  for (const plan::Golden& g : c.golden) {
    w.StartObject();
    Point(w, g.symbol_values);
    Integer(w, "fill", static_cast<int64_t>(g.fill));
    Integer(w, "seed", static_cast<int64_t>(g.seed));
    Key(w, "outputs");
    w.StartArray();
    for (const Sha256Digest& d : g.output_digests) {
      const std::string hex = ToHex(d);
      w.String(hex.data(), static_cast<rapidjson::SizeType>(hex.size()));
    }
    w.EndArray();
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
}

std::string HexOf(const plan::ConfigBytes& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (std::byte b : bytes) {
    hex += kDigits[static_cast<uint8_t>(b) >> 4];
    hex += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return hex;
}

void WriteGpu(Writer& w, const plan::GpuTarget& gpu) {
  Key(w, "gpu");
  w.StartObject();
  Text(w, "name", gpu.name);
  Integer(w, "compute_capability", gpu.compute_capability);
  Integer(w, "multiprocessors", gpu.multiprocessors);
  Integer(w, "driver_min", gpu.driver_min);
  Key(w, "libraries");
  w.StartObject();
  for (const plan::PinnedLibrary& l : gpu.libraries)
    Integer(w, l.name, static_cast<int64_t>(l.version));
  w.EndObject();
  w.EndObject();
}

// Configurations by number: 1 + the index into "configurations", 0 for none.
class ConfigNumbers {
 public:
  explicit ConfigNumbers(const TunedTactics& tuned) {
    for (const auto& [name, t] : tuned) {
      Add(t.config);
      for (const plan::BucketTactic& b : t.buckets) Add(b.config);
    }
  }
  const std::vector<std::string>& texts() const { return texts_; }
  int64_t Of(const plan::ConfigBytes& config) const {
    return config.empty() ? 0 : numbers_.at(HexOf(config));
  }

 private:
  void Add(const plan::ConfigBytes& config) {
    if (config.empty()) return;
    std::string hex = HexOf(config);
    if (numbers_.emplace(hex, static_cast<int64_t>(texts_.size()) + 1).second)
      texts_.push_back(std::move(hex));
  }
  std::map<std::string, int64_t> numbers_;
  std::vector<std::string> texts_;
};

void WriteTuned(Writer& w, const TunedTactics& tuned) {
  const ConfigNumbers numbers(tuned);
  Key(w, "configurations");
  w.SetFormatOptions(rapidjson::kFormatDefault);  // a line each
  w.StartArray();
  for (const std::string& hex : numbers.texts())
    w.String(hex.data(), static_cast<rapidjson::SizeType>(hex.size()));
  w.EndArray();
  w.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  Key(w, "tuned");
  w.StartObject();
  for (const auto& [name, t] : tuned) {
    Key(w, name);
    w.StartObject();
    Integer(w, "configuration", numbers.Of(t.config));
    Key(w, "buckets");
    w.StartArray();
    for (const plan::BucketTactic& b : t.buckets) {
      w.StartObject();
      Integer(w, "bucket", b.bucket);
      Text(w, "kernel", b.kernel);
      Integer(w, "configuration", numbers.Of(b.config));
      w.EndObject();
    }
    w.EndArray();
    Key(w, "tried");
    w.StartArray();
    for (const plan::TriedTactic& tried : t.tried) {
      w.StartObject();
      Text(w, "kernel", tried.kernel);
      Text(w, "verdict", tried.verdict);
      Number(w, "time_us", tried.time_us);
      w.EndObject();
    }
    w.EndArray();
    w.EndObject();
  }
  w.EndObject();
}

// --- reading: every getter names the key it misses ---

Status Missing(std::string_view key, const char* type) {
  return InvalidArgument(fmt::format(
      "lockfile: '{}' is missing or not {}; rebuild without --locked to write a new one", key,
      type));
}
template <typename T>
Result<T> Get(Object object, std::string_view key, const char* type) {
  T value;
  if (object[key].get(value) != simdjson::SUCCESS) return Missing(key, type);
  return value;
}
Result<std::string> GetText(Object object, std::string_view key) {
  FUSEE_TRY(std::string_view text, Get<std::string_view>(object, key, "a string"));
  return std::string(text);
}
// A list whose elements are of JSON type Element, each read by `read`; type names both.
template <typename Element, typename T>
Result<std::vector<T>> GetList(Object object, std::string_view key, const char* type,
                               Result<T> (*read)(Element)) {
  FUSEE_TRY(Array array, Get<Array>(object, key, type));
  std::vector<T> list;
  for (auto entry : array) {
    Element element;
    if (entry.get(element) != simdjson::SUCCESS) return Missing(key, type);
    FUSEE_TRY(T value, read(element));
    list.push_back(std::move(value));
  }
  return list;
}
Result<std::vector<int64_t>> GetPoint(Object object) {
  return GetList<int64_t>(
      object, "at", "a list of integers", +[](int64_t value) -> Result<int64_t> { return value; });
}
Result<Fill> GetFill(Object object) {
  FUSEE_TRY(int64_t fill, Get<int64_t>(object, "fill", "an integer"));
  if (fill < 0 || fill > static_cast<int64_t>(Fill::kConstant)) return Missing("fill", "0 to 4");
  return static_cast<Fill>(fill);
}
Result<Sha256Digest> ParseHex(std::string_view text) {
  Sha256Digest digest{};
  if (text.size() != 64) return Missing("outputs", "a list of 64 hexadecimal digits");
  for (size_t i = 0; i < 64; ++i) {
    const char c = text[i];
    const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (v < 0) return Missing("outputs", "a list of 64 hexadecimal digits");
    digest[i / 2] |= static_cast<std::byte>(i % 2 ? v : v << 4);
  }
  return digest;
}

Result<plan::ConfigBytes> ParseConfig(std::string_view hex) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (hex.empty() || hex.size() % 2 != 0 || hex.size() / 2 > plan::kMaxConfigBytes)
    return Missing("configurations", "a list of bytes in hexadecimal within the limit");
  std::vector<std::byte> bytes(hex.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return Missing("configurations", "a list of bytes in hexadecimal");
    bytes[i] = static_cast<std::byte>(high << 4 | low);
  }
  return plan::ConfigBytes(std::move(bytes));
}

template <typename T>
Result<T> GetSmall(Object object, std::string_view key) {
  FUSEE_TRY(int64_t value, Get<int64_t>(object, key, "an integer"));
  if (value < 0 || value > std::numeric_limits<int32_t>::max())
    return Missing(key, "a small integer");
  return static_cast<T>(value);
}

Result<plan::GpuTarget> ReadGpu(Object o) {
  plan::GpuTarget gpu;
  FUSEE_TRY(gpu.name, GetText(o, "name"));
  FUSEE_TRY(gpu.compute_capability, GetSmall<int32_t>(o, "compute_capability"));
  FUSEE_TRY(gpu.multiprocessors, GetSmall<int32_t>(o, "multiprocessors"));
  FUSEE_TRY(gpu.driver_min, GetSmall<int32_t>(o, "driver_min"));
  FUSEE_TRY(Object libraries, Get<Object>(o, "libraries", "an object"));
  for (auto [name, value] : libraries) {
    int64_t version = 0;
    if (value.get(version) != simdjson::SUCCESS || version <= 0) return Missing(name, "a version");
    gpu.libraries.push_back({std::string(name), static_cast<uint64_t>(version)});
  }
  std::ranges::sort(gpu.libraries, {}, &plan::PinnedLibrary::name);
  return gpu;
}

Result<plan::ConfigBytes> GetConfig(Object o, const std::vector<plan::ConfigBytes>& configs) {
  FUSEE_TRY(const auto number, GetSmall<size_t>(o, "configuration"));
  if (number > configs.size()) return Missing("configuration", "0, or one of the list");
  return number == 0 ? plan::ConfigBytes() : configs[number - 1];
}

Result<TunedTactic> ReadTunedTactic(Object o, const std::vector<plan::ConfigBytes>& configs) {
  TunedTactic t;
  FUSEE_TRY(t.config, GetConfig(o, configs));
  FUSEE_TRY(Array buckets, Get<Array>(o, "buckets", "a list"));
  for (auto element : buckets) {
    Object b;
    if (element.get(b) != simdjson::SUCCESS) return Missing("buckets", "a list of objects");
    plan::BucketTactic tactic;
    FUSEE_TRY(tactic.bucket, GetSmall<uint32_t>(b, "bucket"));
    FUSEE_TRY(tactic.kernel, GetText(b, "kernel"));
    FUSEE_TRY(tactic.config, GetConfig(b, configs));
    if (!t.buckets.empty() && tactic.bucket <= t.buckets.back().bucket)
      return Missing("bucket", "above the one before it");
    t.buckets.push_back(std::move(tactic));
  }
  FUSEE_TRY(Array tried, Get<Array>(o, "tried", "a list"));
  for (auto element : tried) {
    Object one;
    if (element.get(one) != simdjson::SUCCESS) return Missing("tried", "a list of objects");
    plan::TriedTactic tactic;
    FUSEE_TRY(tactic.kernel, GetText(one, "kernel"));
    FUSEE_TRY(tactic.verdict, GetText(one, "verdict"));
    FUSEE_TRY(tactic.time_us, Get<double>(one, "time_us", "a number"));
    t.tried.push_back(std::move(tactic));
  }
  return t;
}

// The keys that only some lockfiles have.
Status ReadOptional(Object root, Lockfile* lock) {
  if (root["device"].error() == simdjson::SUCCESS) {
    FUSEE_TRY(lock->device, GetText(root, "device"));
    FUSEE_TRY(Object gpu, Get<Object>(root, "gpu", "an object"));
    FUSEE_TRY(lock->gpu, ReadGpu(gpu));
  }
  if (root["tuned"].error() != simdjson::SUCCESS) return OkStatus();
  std::vector<plan::ConfigBytes> configs;
  FUSEE_TRY(Array list, Get<Array>(root, "configurations", "a list"));
  for (auto element : list) {
    std::string_view hex;
    if (element.get(hex) != simdjson::SUCCESS) return Missing("configurations", "a list of texts");
    FUSEE_TRY(plan::ConfigBytes config, ParseConfig(hex));
    configs.push_back(std::move(config));
  }
  FUSEE_TRY(Object tuned, Get<Object>(root, "tuned", "an object"));
  for (auto [name, value] : tuned) {
    Object object;
    if (value.get(object) != simdjson::SUCCESS) return Missing(name, "an object");
    FUSEE_TRY(TunedTactic tactic, ReadTunedTactic(object, configs));
    lock->tuned.emplace(name, std::move(tactic));
  }
  return OkStatus();
}

Result<plan::Latency> ReadLatency(Object o) {
  plan::Latency l;
  FUSEE_TRY(int64_t count, Get<int64_t>(o, "count", "an integer"));
  l.count = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  FUSEE_TRY(l.min_us, Get<double>(o, "min_us", "a number"));
  FUSEE_TRY(l.p50_us, Get<double>(o, "p50_us", "a number"));
  FUSEE_TRY(l.p99_us, Get<double>(o, "p99_us", "a number"));
  FUSEE_TRY(l.p999_us, Get<double>(o, "p999_us", "a number"));
  FUSEE_TRY(l.max_us, Get<double>(o, "max_us", "a number"));
  return l;
}

Result<plan::VerifiedCorner> ReadCorner(Object o) {
  plan::VerifiedCorner c;
  FUSEE_TRY(c.symbol_values, GetPoint(o));
  FUSEE_TRY(c.fill, GetFill(o));
  FUSEE_TRY(c.output, GetText(o, "output"));
  FUSEE_TRY(c.sampled, Get<bool>(o, "sampled", "a bool"));
  FUSEE_TRY(c.elements, Get<int64_t>(o, "elements", "an integer"));
  FUSEE_TRY(c.max_abs_error, Get<double>(o, "max_abs_error", "a number"));
  FUSEE_TRY(c.max_rel_error, Get<double>(o, "max_rel_error", "a number"));
  FUSEE_TRY(c.max_abs_value, Get<double>(o, "max_abs_value", "a number"));
  return c;
}

Result<plan::Golden> ReadGolden(Object o) {
  plan::Golden g;
  FUSEE_TRY(g.symbol_values, GetPoint(o));
  FUSEE_TRY(g.fill, GetFill(o));
  FUSEE_TRY(int64_t seed, Get<int64_t>(o, "seed", "an integer"));
  g.seed = static_cast<uint64_t>(seed);
  FUSEE_TRY(g.output_digests, GetList(o, "outputs", "a list of strings", ParseHex));
  return g;
}

Result<plan::Certificate> ReadCertificate(Object o) {
  plan::Certificate c;
  FUSEE_TRY(c.verified, Get<bool>(o, "verified", "a bool"));
  FUSEE_TRY(c.reason, GetText(o, "reason"));
  FUSEE_TRY(c.rtol, Get<double>(o, "rtol", "a number"));
  FUSEE_TRY(c.atol, Get<double>(o, "atol", "a number"));
  FUSEE_TRY(c.batch_checked, Get<bool>(o, "batch_checked", "a bool"));
  FUSEE_TRY(c.batch_invariant, Get<bool>(o, "batch_invariant", "a bool"));
  FUSEE_TRY(c.corners, GetList(o, "corners", "a list of objects", ReadCorner));
  FUSEE_TRY(c.golden, GetList(o, "golden", "a list of objects", ReadGolden));
  return c;
}

}  // namespace

std::string WriteLockfile(const Lockfile& lock) {
  rapidjson::StringBuffer buffer;
  Writer w(buffer);
  w.SetIndent(' ', 1);
  w.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  w.StartObject();
  Integer(w, "fusee_lock", kLockfileVersion);
  Text(w, "builder", lock.builder_version);
  Text(w, "model_sha256", lock.model_digest);
  Text(w, "options", lock.options);
  Text(w, "isa", IsaName(lock.isa));
  if (lock.device != "cpu") {
    Text(w, "device", lock.device);
    WriteGpu(w, lock.gpu);
  }
  Key(w, "tactics");
  w.StartObject();
  for (const auto& [result, kernel] : lock.tactics) Text(w, result, kernel);
  w.EndObject();
  if (!lock.tuned.empty()) WriteTuned(w, lock.tuned);
  Key(w, "latency");
  w.StartArray();
  for (const plan::Latency& l : lock.latencies) {
    w.StartObject();
    Integer(w, "count", static_cast<int64_t>(l.count));
    Number(w, "min_us", l.min_us);
    Number(w, "p50_us", l.p50_us);
    Number(w, "p99_us", l.p99_us);
    Number(w, "p999_us", l.p999_us);
    Number(w, "max_us", l.max_us);
    w.EndObject();
  }
  w.EndArray();
  WriteCertificate(w, lock.certificate);
  w.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

Result<Lockfile> ReadLockfile(std::string_view text) {
  simdjson::dom::parser parser;
  Object root;
  if (parser.parse(simdjson::padded_string(text)).get(root) != simdjson::SUCCESS) {
    return InvalidArgument(
        "the lockfile is not a JSON object; rebuild without --locked to write a new one");
  }
  FUSEE_TRY(int64_t version, Get<int64_t>(root, "fusee_lock", "an integer"));
  if (version != kLockfileVersion) {
    return InvalidArgument(fmt::format("the lockfile has version {}, this builder reads {}",
                                       version, kLockfileVersion));
  }
  Lockfile lock;
  FUSEE_TRY(lock.builder_version, GetText(root, "builder"));
  FUSEE_TRY(lock.model_digest, GetText(root, "model_sha256"));
  FUSEE_TRY(lock.options, GetText(root, "options"));
  FUSEE_TRY(std::string isa, GetText(root, "isa"));
  bool known = false;
  for (Isa candidate : kIsas) {
    if (IsaName(candidate) == isa) {
      lock.isa = candidate;
      known = true;
    }
  }
  if (!known) return Missing("isa", "a known ISA level");
  FUSEE_TRY(ReadOptional(root, &lock));
  FUSEE_TRY(Object tactics, Get<Object>(root, "tactics", "an object"));
  for (auto [key, value] : tactics) {
    std::string_view kernel;
    if (value.get(kernel) != simdjson::SUCCESS) return Missing(key, "a kernel id");
    lock.tactics.emplace(key, kernel);
  }
  FUSEE_TRY(lock.latencies, GetList(root, "latency", "a list of objects", ReadLatency));
  FUSEE_TRY(Object certificate, Get<Object>(root, "certificate", "an object"));
  FUSEE_TRY(lock.certificate, ReadCertificate(certificate));
  return lock;
}

Status CheckLockfileFits(const Lockfile& lock, std::string_view builder_version,
                         std::string_view model_digest, std::string_view options,
                         size_t bucket_count) {
  const auto differs = [](std::string_view field, std::string_view has, std::string_view need) {
    return FailedPrecondition(
        fmt::format("the lockfile's {} is '{}', this build has '{}'; rebuild without --locked",
                    field, has, need));
  };
  if (lock.builder_version != builder_version)
    return differs("builder version", lock.builder_version, builder_version);
  if (lock.model_digest != model_digest)
    return differs("model digest", lock.model_digest, model_digest);
  if (lock.options != options) return differs("options", lock.options, options);
  if (lock.latencies.size() != bucket_count) {
    return differs("number of tuned points", std::to_string(lock.latencies.size()),
                   std::to_string(bucket_count));
  }
  return OkStatus();
}

}  // namespace fusee::compiler
