#include "server/serve.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <future>

#include "base/log.h"
#include "server/server.h"

namespace fusee::server {
namespace {

int stop_descriptor = -1;  // written by the signal handler, which can reach nothing else

void OnStopSignal(int) {
  const int saved = errno;
  const uint64_t one = 1;
  if (write(stop_descriptor, &one, sizeof(one)) < 0) {
  }  // full: a stop is pending already
  errno = saved;
}

Status InstallSignals() {
  if (stop_descriptor >= 0) return FailedPrecondition("Serve was called twice in one process");
  stop_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
  if (stop_descriptor < 0) return Unavailable(fmt::format("eventfd: {}", std::strerror(errno)));
  struct sigaction action {};
  action.sa_handler = &OnStopSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // a peer that went away is an error of its write
  return OkStatus();
}

// True when a stop signal came within timeout; negative waits for ever.
bool WaitForStop(int timeout_ms) {
  pollfd fd{.fd = stop_descriptor, .events = POLLIN, .revents = 0};
  if (poll(&fd, 1, timeout_ms) <= 0) return false;
  uint64_t count = 0;
  return read(stop_descriptor, &count, sizeof(count)) == sizeof(count);
}

}  // namespace

Status Serve(const ServeOptions& options, Fleet& fleet) {
  FUSEE_TRY(InstallSignals());
  FUSEE_TRY(const auto server, Server::Start(options, &fleet));

  // Loading may take seconds; a stop signal must not wait for it to begin draining.
  std::future<Status> loading = std::async(std::launch::async, [&] {
    Status status = server->LoadModels();
    if (!status.ok()) OnStopSignal(0);
    return status;
  });
  while (!WaitForStop(-1)) {
  }
  server->BeginDrain();
  Status loaded = loading.get();
  if (loaded.ok()) {
    spdlog::info("stopping: not ready, serving for another {} ms, then finishing what is in flight",
                 options.drain_delay.count());
    WaitForStop(
        static_cast<int>(options.drain_delay.count()));  // a second signal cuts the delay short
  }
  const bool complete =
      server->Shutdown(loaded.ok() ? options.exit_timeout : std::chrono::milliseconds(0));
  FUSEE_TRY(std::move(loaded));
  if (!complete) {
    return DeadlineExceeded(
        fmt::format("requests were still in flight {} ms after the stop signal and were cut off",
                    options.exit_timeout.count()));
  }
  spdlog::info("stopped; nothing was in flight");
  return OkStatus();
}

}  // namespace fusee::server
