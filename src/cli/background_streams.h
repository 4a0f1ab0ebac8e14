// Contexts of a plan that run in a closed loop beside the one that is timed: trtexec's --streams.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "cli/session.h"

namespace fusee::cli {

class BackgroundStreams {
 public:
  // count contexts with the session's inputs, each on a thread. The session outlives the result.
  // Errors: a context's.
  static Result<BackgroundStreams> Start(Session& session, const SessionOptions& options,
                                         int count);
  BackgroundStreams(BackgroundStreams&&) = default;
  ~BackgroundStreams() { (void)Stop(); }

  // Ends all. Errors: the first of a run. Idempotent.
  Status Stop();
  // Runs that ended between Start and Stop.
  size_t runs() const;
  // Between Start and Stop; 0 before Stop.
  double seconds() const { return seconds_; }

 private:
  BackgroundStreams() = default;
  struct Stream {
    std::unique_ptr<Session> session;
    std::atomic<bool> stop = false;
    std::atomic<size_t> runs = 0;
    Status status;  // read after the thread ended
    std::thread thread;
  };
  std::vector<std::unique_ptr<Stream>> streams_;
  TimePoint start_;
  double seconds_ = 0;
};

}  // namespace fusee::cli
