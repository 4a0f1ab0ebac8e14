#include "cli/guarded.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace fusee::cli {
namespace {

struct Child {
  size_t index = 0;
  pid_t pid = -1;
  int pipe = -1;
  TimePoint start;
  std::string answer;
  bool timed_out = false;
};

[[noreturn]] void ChildMain(int pipe, const GuardOptions& options,
                            const std::function<std::string(size_t)>& work, size_t index) {
  // Sanitizers reserve terabytes of address space; the limit is for ordinary builds.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (options.memory_bytes > 0) {
    const rlimit limit{options.memory_bytes, options.memory_bytes};
    ::setrlimit(RLIMIT_AS, &limit);
  }
#endif
  if (options.cpu_s > 0) {
    const rlimit limit{options.cpu_s, options.cpu_s};
    ::setrlimit(RLIMIT_CPU, &limit);
  }
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::string answer = work(index);
  answer.resize(std::min(answer.size(), kMaxAnswerBytes));
  ssize_t written = ::write(pipe, answer.data(), answer.size());
  // _exit: the parent's buffers were copied by fork and must not be flushed twice.
  ::_exit(written == static_cast<ssize_t>(answer.size()) ? 0 : 1);
}

Result<Child> Start(size_t index, const GuardOptions& options,
                    const std::function<std::string(size_t)>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return Unavailable(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  const pid_t pid = ::fork();
  if (pid < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return Unavailable(fmt::format("cannot fork: {}", std::strerror(errno)));
  }
  if (pid == 0) {
    ::close(ends[0]);
    ChildMain(ends[1], options, work, index);
  }
  ::close(ends[1]);
  return Child{index, pid, ends[0], SteadyClock().Now(), {}, false};
}

// Reads what is there; true at end of file.
bool Drain(Child& child) {
  char buffer[4096];
  const ssize_t n = ::read(child.pipe, buffer, sizeof(buffer));
  if (n > 0 && child.answer.size() < kMaxAnswerBytes)
    child.answer.append(buffer, static_cast<size_t>(n));
  return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

GuardedResult Reap(Child& child, const GuardOptions& options) {
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::close(child.pipe);
  GuardedResult result;
  result.seconds = std::chrono::duration<double>(SteadyClock().Now() - child.start).count();
  result.answer = std::move(child.answer);
  if (child.timed_out) {
    result.death = fmt::format("ran longer than {:.0f} s",
                               std::chrono::duration<double>(options.timeout).count());
  } else if (WIFSIGNALED(status) && options.cpu_s > 0 &&
             result.seconds >= static_cast<double>(options.cpu_s) && WTERMSIG(status) == SIGKILL) {
    result.death = fmt::format("took more than {} s of processor time", options.cpu_s);
  } else if (WIFSIGNALED(status)) {
    result.death =
        fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) != 0) {
    result.death = fmt::format("exited with {}", WEXITSTATUS(status));
  } else {
    result.finished = true;
  }
  return result;
}

}  // namespace

Status RunGuarded(size_t count, const GuardOptions& options,
                  const std::function<std::string(size_t)>& work,
                  const std::function<void(size_t, const GuardedResult&)>& done) {
  std::vector<Child> running;
  size_t next = 0;
  while (next < count || !running.empty()) {
    while (next < count && running.size() < static_cast<size_t>(std::max(options.jobs, 1))) {
      FUSEE_TRY(Child child, Start(next++, options, work));
      running.push_back(std::move(child));
    }
    std::vector<pollfd> waits;
    for (const Child& c : running) waits.push_back({c.pipe, POLLIN, 0});
    ::poll(waits.data(), waits.size(), 100);
    for (size_t i = running.size(); i-- > 0;) {
      Child& child = running[i];
      if (!child.timed_out && SteadyClock().Now() - child.start > options.timeout) {
        child.timed_out = true;
        ::kill(child.pid, SIGKILL);
      }
      if (waits[i].revents == 0 && !child.timed_out) continue;
      if (!Drain(child) && !child.timed_out) continue;
      done(child.index, Reap(child, options));
      running.erase(running.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  return OkStatus();
}

}  // namespace fusee::cli
