#include "device/thread_pool.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <mutex>
#include <vector>

#include "device/cpu_limits.h"
#include "device/fp_environment.h"

namespace fusee {
namespace {

using Word = std::atomic<uint32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free, "a futex is a plain 32-bit word");

void FutexWait(Word& word, uint32_t seen) {
  ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr,
            nullptr, 0);
}
void FutexWakeAll(Word& word) {
  ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
            nullptr, 0);
}

// Returns when word differs from seen: spins a bounded while, then parks. parked counts threads in
// the kernel, so that the other side skips the system call while there are none.
void WaitWhileEqual(Word& word, uint32_t seen, Word& parked, int spin_pauses) {
  for (int i = 0; i < spin_pauses; ++i) {
    if (word.load(std::memory_order_acquire) != seen) return;
    _mm_pause();
  }
  parked.fetch_add(1);  // seq_cst: ordered before the look at word, as the waker's store is before
                        // its look at parked
  while (word.load() == seen) FutexWait(word, seen);
  parked.fetch_sub(1);
}

}  // namespace

struct ThreadPool::State {
  struct Part {
    alignas(64) Word claimed{
        0};  // the epoch in which it was last claimed; every part is claimed in every epoch
  };
  struct Worker {
    State* state = nullptr;
    int part = 0;
    pthread_t thread{};
  };

  // The current job: written before epoch is published, read only by who claimed a part of that
  // epoch.
  void (*task)(void*, int64_t) = nullptr;
  void* context = nullptr;
  int64_t count = 0;

  alignas(64) Word epoch{0};
  alignas(64) Word parked_workers{0};
  alignas(64) Word pending{0};  // parts not finished
  alignas(64) Word parked_callers{0};
  std::atomic<bool> stop{false};

  int width = 1;
  int spin_pauses = 0;
  std::mutex serialise;  // one job at a time
  std::vector<Part> parts;
  std::vector<Worker> workers;

  State(int wanted_width, int spin) : spin_pauses(spin), parts(static_cast<size_t>(wanted_width)) {
    workers.resize(static_cast<size_t>(wanted_width) - 1);
  }

  // True when this thread now owns part p of epoch e. A thread that comes late, in a later epoch,
  // fails.
  bool Claim(int p, uint32_t e) {
    uint32_t before = e - 1;
    return parts[static_cast<size_t>(p)].claimed.compare_exchange_strong(before, e,
                                                                         std::memory_order_acq_rel);
  }

  void RunPart(int p) {
    const int64_t base = count / width, extra = count % width;
    const int64_t begin = p * base + std::min<int64_t>(p, extra);
    const int64_t end = begin + base + (p < extra ? 1 : 0);
    for (int64_t i = begin; i < end; ++i) task(context, i);
    if (pending.fetch_sub(1) == 1 && parked_callers.load() != 0) FutexWakeAll(pending);
  }

  static void* WorkerMain(void* argument) {
    const Worker& self = *static_cast<Worker*>(argument);
    State& s = *self.state;
    const ScopedFpEnvironment fp;
    uint32_t seen = 0;
    while (true) {
      WaitWhileEqual(s.epoch, seen, s.parked_workers, s.spin_pauses);
      // The epoch first: the destructor stores stop before it publishes, so whoever sees its epoch
      // sees stop too. The other way round a late worker could take that epoch for a job's.
      seen = s.epoch.load(std::memory_order_acquire);
      if (s.stop.load()) return nullptr;
      if (s.Claim(self.part, seen)) s.RunPart(self.part);
    }
  }

  void Publish() {
    epoch.fetch_add(1);
    if (parked_workers.load() != 0) FutexWakeAll(epoch);
  }
};

ThreadPool::ThreadPool(const ThreadPoolOptions& options) {
  const int wanted = std::clamp(options.width > 0 ? options.width : UsableCpus(), 1, kMaxWidth);
  state_ = std::make_unique<State>(wanted, std::max(0, options.spin_pauses));
  int width = 1;
  for (State::Worker& worker : state_->workers) {
    worker.state = state_.get();
    worker.part = width;
    if (::pthread_create(&worker.thread, nullptr, &State::WorkerMain, &worker) != 0) break;
    ++width;
  }
  state_->width = width;  // workers look at it only once a job is published
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true);
  state_->Publish();
  for (int i = 0; i + 1 < state_->width; ++i)
    ::pthread_join(state_->workers[static_cast<size_t>(i)].thread, nullptr);
}

int ThreadPool::width() const { return state_->width; }

void ThreadPool::For(int64_t count, void (*task)(void*, int64_t), void* context) {
  State& s = *state_;
  if (s.width == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) task(context, i);
    return;
  }
  const std::lock_guard lock(s.serialise);
  s.task = task;
  s.context = context;
  s.count = count;
  s.pending.store(static_cast<uint32_t>(s.width));
  const uint32_t epoch = s.epoch.load() + 1;
  s.Publish();
  for (int p = 0; p < s.width; ++p) {
    if (s.Claim(p, epoch)) s.RunPart(p);
  }
  while (true) {
    const uint32_t left = s.pending.load(std::memory_order_acquire);
    if (left == 0) break;
    WaitWhileEqual(s.pending, left, s.parked_callers, s.spin_pauses);
  }
}

}  // namespace fusee
