// Fork-join threads for kernels: a fixed partition of tasks into as many contiguous parts as the
// pool is wide.
//
//   caller --- publish epoch --> part 0 --> parts nobody has begun --> wait until all are done
//   worker --- sees the epoch -> its part -> spins a bounded while for the next, then parks (futex)
//
// Each part is claimed by exactly one thread: by its worker, or by the caller when that worker is
// still parked or has lost its core to a neighbour, so one late thread costs no more than its own
// part. Who runs a part never changes results (parallel.h). Waking a parked worker costs 30-70 us,
// a spinning one about 0.1 us; workers spin for about 100 us after their last part so that the
// steps of one run find them awake.
#pragma once

#include <cstdint>
#include <memory>

#include "device/parallel.h"

namespace fusee {

struct ThreadPoolOptions {
  int width = 0;  // threads, the caller included; 0: UsableCpus()
  // Pause instructions (about 40 ns each) before a waiting thread parks; 0: park at once.
  int spin_pauses = 2000;
};

// Thread-safe: For may be called from any thread; calls are served one at a time. Allocates only
// when built. If the system refuses threads, the pool is narrower than asked (see width()).
class ThreadPool final : public Parallel {
 public:
  static constexpr int kMaxWidth = 256;

  explicit ThreadPool(const ThreadPoolOptions& options = {});
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void For(int64_t count, void (*task)(void* context, int64_t i), void* context) override;
  int width() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fusee
