#include "server/poison.h"

#include <algorithm>
#include <cstring>

namespace fusee::server {
namespace {

constexpr int kSketchWords = 16;  // of each input, spread over it

// FNV-1a, a word at a time. Only a sieve: whoever makes two sketches equal makes us hash.
void Mix(uint64_t* hash, uint64_t word) { *hash = (*hash ^ word) * 0x100000001b3u; }

void Mix(uint64_t* hash, std::string_view text) {
  Mix(hash, text.size());
  for (const char c : text) Mix(hash, static_cast<unsigned char>(c));
}

uint64_t SketchOf(const ipc::ModelInfo& model, std::span<const ConstTensorView> inputs) {
  uint64_t hash = 0xcbf29ce484222325u;
  Mix(&hash, model.name);
  Mix(&hash, static_cast<uint64_t>(model.version));
  for (const ConstTensorView& input : inputs) {
    Mix(&hash, static_cast<uint64_t>(input.dtype));
    for (const int64_t dim : input.shape.dims()) Mix(&hash, static_cast<uint64_t>(dim));
    const std::span<const std::byte> bytes = input.bytes();
    const size_t words = bytes.size() / sizeof(uint64_t);
    for (size_t i = 0; i < std::min<size_t>(words, kSketchWords); ++i) {
      const size_t at = words <= kSketchWords ? i : i * (words - 1) / (kSketchWords - 1);
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at * sizeof(word), sizeof(word));
      Mix(&hash, word);
    }
  }
  return hash;
}

std::span<const std::byte> BytesOf(std::span<const uint64_t> words) { return std::as_bytes(words); }

}  // namespace

Fingerprint FingerprintOf(const ipc::ModelInfo& model, std::span<const ConstTensorView> inputs) {
  Sha256Stream sha;
  const auto number = [&sha](uint64_t n) { sha.Update(BytesOf({&n, 1})); };
  // Lengths first, so that no two requests run into each other.
  number(model.name.size());
  sha.Update(std::as_bytes(std::span(model.name)));
  number(static_cast<uint64_t>(model.version));
  number(inputs.size());
  for (const ConstTensorView& input : inputs) {
    number(static_cast<uint64_t>(input.dtype));
    number(static_cast<uint64_t>(input.shape.rank()));
    for (const int64_t dim : input.shape.dims()) number(static_cast<uint64_t>(dim));
    sha.Update(input.bytes());
  }
  return {SketchOf(model, inputs), sha.Finish()};
}

bool SameRequest(const ipc::ModelInfo& a_model, std::span<const ConstTensorView> a_inputs,
                 const ipc::ModelInfo& b_model, std::span<const ConstTensorView> b_inputs) {
  if (a_model.name != b_model.name || a_model.version != b_model.version) return false;
  return std::ranges::equal(a_inputs, b_inputs, [](const auto& a, const auto& b) {
    return a.dtype == b.dtype && a.shape == b.shape &&
           (a.size_bytes() == 0 ||
            std::memcmp(a.data, b.data, static_cast<size_t>(a.size_bytes())) == 0);
  });
}

Status PoisonousStatus() {
  return FailedPrecondition(
      "this request is not run: twice a device ended while it had a request with these very bytes; "
      "other requests are served, and this one may be tried again in ten minutes");
}

uint32_t PoisonTable::Entry::total() const {
  uint32_t sum = 0;
  for (const auto& [kind, count] : deaths) sum += count;
  return sum;
}

PoisonTable::Entries::iterator PoisonTable::FindLocked(const Fingerprint& fingerprint) {
  const auto [begin, end] = entries_.equal_range(fingerprint.sketch);
  const auto found = std::find_if(
      begin, end, [&](const auto& e) { return e.second.digest == fingerprint.digest; });
  return found == end ? entries_.end() : found;
}

void PoisonTable::ForgetLocked(TimePoint now) {
  if (now < forget_at_) return;
  std::erase_if(entries_,
                [now](const auto& e) { return now - e.second.last_death >= kPoisonKept; });
  forget_at_ = TimePoint::max();
  for (const auto& [sketch, entry] : entries_)
    forget_at_ = std::min(forget_at_, entry.last_death + kPoisonKept);
  CountLocked();
}

std::optional<PoisonTable::Known> PoisonTable::Find(const ipc::ModelInfo& model,
                                                    std::span<const ConstTensorView> inputs,
                                                    TimePoint now) {
  if (size() == 0) return std::nullopt;
  const uint64_t sketch = SketchOf(model, inputs);
  {
    const std::lock_guard lock(mutex_);
    ForgetLocked(now);
    if (!entries_.contains(sketch) &&
        std::ranges::none_of(pending_, [&](const auto& p) { return p->sketch == sketch; })) {
      return std::nullopt;
    }
  }
  const Fingerprint fingerprint = FingerprintOf(model, inputs);
  const std::lock_guard lock(mutex_);
  Entry entry;
  if (const auto found = FindLocked(fingerprint); found != entries_.end()) entry = found->second;
  for (const auto& pending : pending_) {
    const PoisonCase& what = pending->what;
    if (pending->sketch != sketch) continue;
    const bool same = what.fingerprint ? what.fingerprint->digest == fingerprint.digest
                                       : SameRequest(model, inputs, *what.model, what.inputs);
    if (same) entry.Apply(what.died_on, what.died_alone, what.survived_on, pending->at);
  }
  if (entry.innocent() || now - entry.last_death >= kPoisonKept) return std::nullopt;
  return Known{fingerprint, entry.total(), entry.poisonous};
}

void PoisonTable::Remember(PoisonCase what, TimePoint now) {
  const uint64_t sketch =
      what.fingerprint ? what.fingerprint->sketch : SketchOf(*what.model, what.inputs);
  auto pending = std::make_shared<const Pending>(Pending{std::move(what), sketch, now});
  const std::lock_guard lock(mutex_);
  pending_.push_back(std::move(pending));
  if (pending_.size() > entries_max_) {
    const auto suspect =
        std::ranges::find_if(pending_, [](const auto& p) { return !p->what.died_alone; });
    pending_.erase(suspect == pending_.end() ? pending_.begin() : suspect);
  }
  generation_.fetch_add(1, std::memory_order_release);
  CountLocked();
}

std::optional<PoisonTable::Entered> PoisonTable::EnterOne() {
  std::shared_ptr<const Pending> first;
  {
    const std::lock_guard lock(mutex_);
    if (pending_.empty()) return std::nullopt;
    first = pending_.front();
  }
  const PoisonCase& what = first->what;
  const Fingerprint fingerprint =
      what.fingerprint ? *what.fingerprint : FingerprintOf(*what.model, what.inputs);
  const std::lock_guard lock(mutex_);
  // Another only if it was crowded out or dropped meanwhile.
  if (pending_.empty() || pending_.front() != first) return Entered{};
  pending_.pop_front();
  const bool became =
      RecordLocked(fingerprint, what.died_on, what.died_alone, what.survived_on, first->at);
  return Entered{{first, &first->what}, became};
}

bool PoisonTable::pending() const {
  const std::lock_guard lock(mutex_);
  return !pending_.empty();
}

void PoisonTable::DropPending() {
  std::list<std::shared_ptr<const Pending>> dropped;  // ends outside the lock
  const std::lock_guard lock(mutex_);
  dropped.swap(pending_);
  CountLocked();
}

bool PoisonTable::Record(const Fingerprint& fingerprint, std::span<const std::string> died_on,
                         bool died_alone, std::string_view survived_on, TimePoint now) {
  const std::lock_guard lock(mutex_);
  return RecordLocked(fingerprint, died_on, died_alone, survived_on, now);
}

bool PoisonTable::Entry::Apply(std::span<const std::string> died_on, bool died_alone,
                               std::string_view survived_on, TimePoint now) {
  for (const std::string& kind : died_on) ++deaths[kind];
  if (!died_on.empty()) last_death = now;
  const bool was = poisonous;
  poisonous = was || (died_alone && !died_on.empty() && total() >= kPoisonDeaths);
  if (!poisonous) {
    if (const auto survived = deaths.find(survived_on); survived != deaths.end())
      deaths.erase(survived);
  }
  return poisonous && !was;
}

bool PoisonTable::RecordLocked(const Fingerprint& fingerprint, std::span<const std::string> died_on,
                               bool died_alone, std::string_view survived_on, TimePoint now) {
  ForgetLocked(now);
  auto at = FindLocked(fingerprint);
  if (at == entries_.end() && !died_on.empty())
    at = entries_.emplace(fingerprint.sketch, Entry{.digest = fingerprint.digest});
  bool became = false;
  if (at != entries_.end()) {
    became = at->second.Apply(died_on, died_alone, survived_on, now);
    if (!died_on.empty()) forget_at_ = std::min(forget_at_, now + kPoisonKept);
    if (at->second.innocent()) entries_.erase(at);
  }
  if (entries_.size() > entries_max_) {
    entries_.erase(std::ranges::min_element(entries_, {}, [](const auto& e) {
      return std::pair(e.second.poisonous, e.second.last_death);
    }));
  }
  CountLocked();
  return became;
}

}  // namespace fusee::server
