// Runs pieces of work in child processes, so that a crash, a hang or a memory blow-up of one is
// counted, not suffered.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace fusee::cli {

struct GuardOptions {
  int jobs = 1;                                  // children at once
  Duration timeout = std::chrono::seconds(120);  // per child; then it is killed
  uint64_t memory_bytes = uint64_t{16} << 30;    // address space of a child; 0: unlimited
  // Processor time of a child; 0: unlimited. Unlike the timeout it does not depend on what else
  // runs.
  uint64_t cpu_s = 0;
};

struct GuardedResult {
  bool finished = false;  // the child wrote its answer and exited
  std::string answer;     // what work returned, cut to kMaxAnswerBytes
  std::string death;      // "killed by signal 11 (Segmentation fault)", "ran longer than 120 s"
  double seconds = 0;
};

inline constexpr size_t kMaxAnswerBytes = 4000;  // below PIPE_BUF, so that one write is whole

// Calls work(i) for i in [0, count), each in a forked child, and done(i, result) in the parent in
// order of completion. Precondition: the calling process has no other threads (fork). Blocking.
// Errors: kUnavailable when fork fails.
Status RunGuarded(size_t count, const GuardOptions& options,
                  const std::function<std::string(size_t)>& work,
                  const std::function<void(size_t, const GuardedResult&)>& done);

}  // namespace fusee::cli
