// One worker process as the operating system sees it: started, watched, ended.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/status.h"
#include "ipc/channel.h"

namespace fusee::server {

// How a process ended.
struct ProcessEnd {
  bool exited = false;  // by itself, with status; else killed by signal `status`
  int status = 0;
  std::string Text() const;  // "signal 9 (Killed)", "status 40: the device is absent"
};

// A running child, or none. Killed and waited for when destroyed. Not thread-safe.
class WorkerProcess {
 public:
  WorkerProcess() = default;
  // Starts path with args (the first is the program's name), handing over the channel's and slabs'
  // descriptors at ipc::WorkerFd. The calling thread must outlive the process, which is killed with
  // it. Errors: kNotFound (no such binary), kResourceExhausted, kUnavailable.
  static Result<WorkerProcess> Start(const std::string& path, const std::vector<std::string>& args,
                                     const ipc::Channel& channel, int inputs_fd, int outputs_fd);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&& other) noexcept;
  ~WorkerProcess();

  pid_t pid() const { return pid_; }
  // Readable once the process has ended, all of its threads included; -1 for none.
  int fd() const { return pidfd_.get(); }
  void Kill() const;
  // How it ended, if it has; then this holds none any more. Never blocks.
  std::optional<ProcessEnd> Reap();

 private:
  pid_t pid_ = -1;
  Descriptor pidfd_;
  Descriptor life_;  // the writing end; closed with us, it tells the worker that we are gone
};

}  // namespace fusee::server
