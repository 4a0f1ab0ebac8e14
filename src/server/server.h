// One serving process, in pieces that a test can hold: Serve (serve.h) is this plus signals.
#pragma once

#include <chrono>
#include <memory>

#include "base/status.h"
#include "ipc/executor.h"
#include "server/fleet.h"
#include "server/serve.h"

namespace fusee::server {

class Service;

class Server {
 public:
  // Listens and answers health (live, not ready) at once; loads nothing yet. The fleet outlives the
  // server, and is shut down with it. Errors: kInvalidArgument (options), kUnavailable (ports), and
  // those of writing port files.
  static Result<std::unique_ptr<Server>> Start(const ServeOptions& options, Fleet* fleet);
  // The same with one executor of this process, which outlives the server: for tests.
  static Result<std::unique_ptr<Server>> Start(const ServeOptions& options,
                                               ipc::Executor* executor);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Loads every model of the repository, then serves. Blocks. Errors: a broken repository; with
  // exit_on_error the first model's load error (otherwise such a model is unavailable and the
  // server goes on). A device that is not there is no error: its models are taken in when it comes.
  Status LoadModels();

  uint16_t http_port() const;
  uint16_t metrics_port() const;  // http_port when metrics have no port of their own
  Service& service();

  // Not ready from now on, but still serving.
  void BeginDrain();
  // Finishes what is in flight, for at most timeout, then closes everything. False when something
  // was cut off.
  bool Shutdown(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fusee::server
