#include "server/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "ipc/worker_exit.h"

namespace fusee::server {
namespace {

// Sources are copied up here first, so that none of them is overwritten while the low numbers are
// being filled.
constexpr int kHighFd = 64;

Result<Descriptor> High(int fd) {
  Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, kHighFd));
  if (!copy.ok())
    return ResourceExhausted(fmt::format("copying a descriptor: {}", std::strerror(errno)));
  return copy;
}

struct SpawnFiles {
  posix_spawn_file_actions_t actions;
  SpawnFiles() { posix_spawn_file_actions_init(&actions); }
  ~SpawnFiles() { posix_spawn_file_actions_destroy(&actions); }
};
struct SpawnAttributes {
  posix_spawnattr_t attributes;
  SpawnAttributes() { posix_spawnattr_init(&attributes); }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes); }
};

}  // namespace

std::string ProcessEnd::Text() const {
  return exited ? fmt::format("status {}: {}", status, ipc::WorkerExitText(status))
                : fmt::format("signal {} ({})", status, strsignal(status));
}

Result<WorkerProcess> WorkerProcess::Start(const std::string& path,
                                           const std::vector<std::string>& args,
                                           const ipc::Channel& channel, int inputs_fd,
                                           int outputs_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return ResourceExhausted(fmt::format("pipe: {}", std::strerror(errno)));
  Descriptor life_read(ends[0]);
  WorkerProcess process;
  process.life_.Reset(ends[1]);

  const std::pair<int, int> wanted[] = {{channel.memory_fd(), ipc::kFdChannel},
                                        {inputs_fd, ipc::kFdInputs},
                                        {outputs_fd, ipc::kFdOutputs},
                                        {channel.request_bell().fd(), ipc::kFdRequests},
                                        {channel.reply_bell().fd(), ipc::kFdReplies},
                                        {life_read.get(), ipc::kFdLife}};
  SpawnFiles files;
  std::array<Descriptor, std::size(wanted)> sources;
  for (size_t i = 0; i < std::size(wanted); ++i) {
    FUSEE_TRY(sources[i], High(wanted[i].first));
    posix_spawn_file_actions_adddup2(&files.actions, sources[i].get(), wanted[i].second);
  }
  // Sockets of the front are nobody else's, whatever the library that opened them thinks.
  posix_spawn_file_actions_addclosefrom_np(&files.actions, ipc::kFdChannel + ipc::kFdCount);
  // Stop signals wait until the worker has said that it ignores them.
  SpawnAttributes spawn;
  sigset_t blocked, defaults;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&spawn.attributes, &blocked);
  posix_spawnattr_setsigdefault(&spawn.attributes, &defaults);
  posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const int error = posix_spawn(&process.pid_, path.c_str(), &files.actions, &spawn.attributes,
                                argv.data(), environ);
  if (error != 0) {
    process.pid_ = -1;
    std::string text = fmt::format("cannot start '{}': {}; it belongs beside fusee-front", path,
                                   std::strerror(error));
    return error == ENOENT ? NotFound(std::move(text)) : Unavailable(std::move(text));
  }
  // The child is not waited for yet, so its number cannot have been given to another.
  process.pidfd_.Reset(static_cast<int>(syscall(SYS_pidfd_open, process.pid_, 0)));
  if (!process.pidfd_.ok()) return Unavailable(fmt::format("pidfd_open: {}", std::strerror(errno)));
  fcntl(process.pidfd_.get(), F_SETFD, FD_CLOEXEC);
  return process;
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      life_(std::move(other.life_)) {}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(life_, other.life_);
  return *this;
}

WorkerProcess::~WorkerProcess() {
  if (pid_ < 0) return;
  Kill();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void WorkerProcess::Kill() const {
  if (pid_ > 0) kill(pid_, SIGKILL);  // ours until reaped
}

std::optional<ProcessEnd> WorkerProcess::Reap() {
  if (pid_ < 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  pidfd_.Reset();
  life_.Reset();
  if (WIFEXITED(status)) return ProcessEnd{.exited = true, .status = WEXITSTATUS(status)};
  return ProcessEnd{.exited = false, .status = WTERMSIG(status)};
}

}  // namespace fusee::server
