// How a kernel uses more than one core: a fixed number of independent tasks, each run exactly once.
//
// Tasks must not depend on which thread runs them or in what order, and must write disjoint memory,
// so that results do not depend on the number of threads. No task may reduce into another's sum.
#pragma once

#include <cstdint>
#include <type_traits>

namespace fusee {

class Parallel {
 public:
  virtual ~Parallel() = default;
  // Calls task(context, i) for every i in [0, count) and returns when all are done. Blocking; not
  // reentrant: a task must not call it. Allocates nothing.
  virtual void For(int64_t count, void (*task)(void* context, int64_t i), void* context) = 0;
  // Threads that may run tasks at once, the caller included; for choosing a task count, never for
  // results.
  virtual int width() const = 0;

  // Runs body(i) for i in [0, count): ParallelFor(parallel, n, [&](int64_t i) { ... }).
  template <typename Body>
  void Run(int64_t count, Body&& body) {
    For(
        count,
        [](void* context, int64_t i) {
          (*static_cast<std::remove_reference_t<Body>*>(context))(i);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }
};

// Runs every task on the calling thread, in order.
class SerialParallel final : public Parallel {
 public:
  void For(int64_t count, void (*task)(void*, int64_t), void* context) override {
    for (int64_t i = 0; i < count; ++i) task(context, i);
  }
  int width() const override { return 1; }
};

}  // namespace fusee
