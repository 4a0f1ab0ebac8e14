// Requests that end workers. One poisonous input must not take every device down again and again:
// what was in flight at two deaths is answered with an error from then on, and run no more.
//
//                 death                 death, alone
//   (unknown) ------------> SUSPECT -----------------> POISONOUS --kPoisonKept--> (unknown)
//       ^                   |  ^  |
//       |                   |  +--+ death in a batch of several
//       +-------------------+
//         survived by the kinds of devices it was in flight at the death of; or forgotten
//
// Being in flight at a death proves little: the worker may have been killed from outside, or by
// another request of the batch. Therefore
// - a suspect is run alone, so that a death is its own (dispatcher.h);
// - only a death alone makes it poisonous;
// - a run that a device of the same kind survives takes that kind's deaths off its record. A run
//   that another kind survives does not: what ends every GPU worker may be harmless on the CPU.
//
// A request is known again by its fingerprint: SHA-256 over the model's name and version, and each
// input's type, shape and bytes; a quick sketch of the same comes first, so that hashing is paid
// for suspects only, and nothing at all while the table is empty. SHA-256, because who could find
// two inputs of one fingerprint could have somebody else's requests refused.
//
// The answer is 422 with KServe's error body and no Retry-After. The request is well-formed and the
// server well: it is this very content that will not be processed. A 5xx would tell gateways that
// the server is ill (they eject such servers) and clients to try again, on the next replica too.
//
// Hashing takes milliseconds for a large input, and the thread that says that a device has ended
// has other devices to look after. So what became of a request is only remembered there, with its
// bytes; another thread hashes and enters it:
//
//   --Remember--> [pending: bytes kept, sketch] --EnterOne--> [entries: fingerprints]
//                              \_____________ Find ______________/
//
// Find looks at both, and sees a request in exactly one of them: there is no moment in which what
// was remembered is not known.
//
// Bounded: as many pending as entries, the oldest suspect goes first; kPoisonEntriesMax requests,
// the one whose last death is longest ago goes first, suspects before poisonous ones; each is
// forgotten kPoisonKept after its last death.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "ipc/executor.h"
#include "obs/metrics.h"

namespace fusee::server {

inline constexpr uint32_t kPoisonDeaths = 2;
inline constexpr size_t kPoisonEntriesMax = 1024;
inline constexpr Duration kPoisonKept = std::chrono::minutes(10);
inline constexpr int kPoisonHttpStatus = 422;  // Unprocessable Content

struct Fingerprint {
  uint64_t sketch = 0;  // of sizes and a few bytes
  Sha256Digest digest{};
};
// Cost: one pass over the bytes.
Fingerprint FingerprintOf(const ipc::ModelInfo& model, std::span<const ConstTensorView> inputs);
// Whether two requests have one fingerprint, without hashing.
bool SameRequest(const ipc::ModelInfo& a_model, std::span<const ConstTensorView> a_inputs,
                 const ipc::ModelInfo& b_model, std::span<const ConstTensorView> b_inputs);

// What its client is told.
Status PoisonousStatus();

// What became of a request that was in flight when a device ended, or that has the bytes of one.
struct PoisonCase {
  std::shared_ptr<const ipc::ModelInfo> model;
  std::vector<ConstTensorView> inputs;
  std::shared_ptr<const void> memory;      // what the inputs lie in
  std::optional<Fingerprint> fingerprint;  // when it is known already: spares the hashing
  std::vector<std::string> died_on;        // the kinds of devices that died with it, in order
  bool died_alone = false;                 // at the last of these deaths
  std::string survived_on;                 // the kind that survived it afterwards, or empty
  std::shared_ptr<obs::Metrics> metrics;   // of the model; not read here
};

// Thread-safe. Hashes outside its lock, and compares bytes of pending requests under it.
class PoisonTable {
 public:
  explicit PoisonTable(size_t entries_max = kPoisonEntriesMax) : entries_max_(entries_max) {}

  struct Known {
    Fingerprint fingerprint;
    uint32_t deaths = 0;
    bool poisonous = false;
  };
  // What is known of a request; nullopt: nothing. Cost: one load while nothing is known of any;
  // one pass over the bytes where the sketch is known.
  std::optional<Known> Find(const ipc::ModelInfo& model, std::span<const ConstTensorView> inputs,
                            TimePoint now);
  // Changes with every Remember: what Find said before may be out of date afterwards.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Cost: a look at a few words of each input.
  void Remember(PoisonCase what, TimePoint now);
  // Hashes and enters the case remembered first; nullopt: there is none. True: it is what made its
  // request poisonous. Of one thread at a time.
  struct Entered {
    std::shared_ptr<const PoisonCase> what;
    bool became_poisonous = false;
  };
  std::optional<Entered> EnterOne();
  bool pending() const;
  // Forgets what was remembered and not entered, and lets go of its memory.
  void DropPending();

  // Remember and EnterOne of a request whose fingerprint is known.
  bool Record(const Fingerprint& fingerprint, std::span<const std::string> died_on, bool died_alone,
              std::string_view survived_on, TimePoint now);

  // Pending and entered.
  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  struct Pending {
    PoisonCase what;
    uint64_t sketch = 0;
    TimePoint at{};
  };
  struct Entry {
    Sha256Digest digest{};
    std::map<std::string, uint32_t, std::less<>> deaths;  // by kind of device
    bool poisonous = false;
    TimePoint last_death{};
    uint32_t total() const;
    bool innocent() const { return deaths.empty() && !poisonous; }
    // True when this made it poisonous.
    bool Apply(std::span<const std::string> died_on, bool died_alone, std::string_view survived_on,
               TimePoint now);
  };
  using Entries = std::multimap<uint64_t, Entry>;  // by sketch
  Entries::iterator FindLocked(const Fingerprint& fingerprint);
  void ForgetLocked(TimePoint now);
  bool RecordLocked(const Fingerprint& fingerprint, std::span<const std::string> died_on,
                    bool died_alone, std::string_view survived_on, TimePoint now);
  void CountLocked() { size_.store(entries_.size() + pending_.size(), std::memory_order_relaxed); }

  const size_t entries_max_;
  std::atomic<size_t> size_{0};
  std::atomic<uint64_t> generation_{0};
  mutable std::mutex mutex_;
  Entries entries_;                                    // guarded by mutex_
  std::list<std::shared_ptr<const Pending>> pending_;  // in order; shared with EnterOne; guarded
  TimePoint forget_at_{};  // when the first entry is to be forgotten; guarded by mutex_
};

}  // namespace fusee::server
