// The serving process behind one call: sockets, model repository, scheduler, shutdown. src/cli
// turns flags into ServeOptions; tests start the same thing on port 0 through server.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace fusee::server {

class Fleet;

// The largest values of options. Above them a start is refused.
inline constexpr uint32_t kHttpThreadsMax = 64;
inline constexpr uint64_t kBodyBytesMax = 2ull << 30;
inline constexpr uint32_t kQueueRequestsMax = 16384;  // planning them is quadratic at worst

// Bounds on what a peer can make the server hold or wait for. Every one is enforced before the
// memory is taken.
struct HttpLimits {
  uint32_t header_bytes = 16u << 10;  // request line and headers: more is 431
  uint64_t body_bytes =
      64ull << 20;  // one request, compressed or inflated (Triton's --http-max-input-size)
  // All requests together, compressed, inflated and as tensors, until their responses are sent:
  // more is 503 with Retry-After. At least twice body_bytes: one body, compressed and inflated.
  uint64_t body_bytes_in_flight = 1ull << 30;
  uint32_t body_chunks =
      65536;                  // chunks of a chunked body: more is 400 and the connection is closed
  uint32_t json_depth = 100;  // nesting of a JSON body
  uint32_t connections = 1024;  // open at once; the next is accepted and closed at once
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte of a request to the end of its headers
  std::chrono::milliseconds body_timeout{30'000};  // from there to the end of its body
  std::chrono::milliseconds write_timeout{
      30'000};  // to hand over a response to a peer that reads slowly
  std::chrono::milliseconds idle_timeout{75'000};  // between requests of one connection
};

// Bounds on admitted work. Requests beyond them are refused at once with Retry-After.
struct QueueLimits {
  uint32_t requests = 1024;       // waiting, all models together
  uint64_t bytes = 256ull << 20;  // inputs and outputs of those waiting
};

struct ServeOptions {
  std::string model_repository;  // REPO/<model>/<version>/model.plan; required
  // Kinds of devices, first choice first, for models that name none themselves.
  std::vector<std::string> device_order = {"cuda", "cpu"};
  std::string address = "0.0.0.0";
  uint16_t http_port = 8000;        // 0: any free port, see port_file
  uint16_t metrics_port = 8002;     // 0: any free port
  bool metrics_on_own_port = true;  // false: /metrics is answered on http_port only
  std::string port_file;          // when set: the HTTP port as decimal text, written when listening
  std::string metrics_port_file;  // the same for the metrics port
  uint32_t http_threads = 2;      // event loops
  HttpLimits http;
  QueueLimits queue;
  // Deadline of a request that brings none, counted from its arrival; also the ceiling of what a
  // client may ask for.
  std::chrono::milliseconds default_deadline{10'000};
  std::chrono::milliseconds max_deadline{60'000};
  bool allow_unverified = false;  // serve plans built with --no-verify
  bool strict_readiness =
      true;  // ready only when every model found is loaded (Triton's --strict-readiness)
  bool exit_on_error =
      true;  // a model that fails to load ends the process (Triton's --exit-on-error)
  std::chrono::milliseconds drain_delay{
      0};  // after SIGTERM: not ready, but still serving, for this long
  std::chrono::milliseconds exit_timeout{30'000};  // then at most this long for what is in flight
};

// Listens, loads every model, serves until SIGTERM or SIGINT, drains, returns ok. Blocks the
// calling thread; installs handlers for those signals and ignores SIGPIPE; call once per process.
// The fleet outlives the call and is shut down by it. Errors: kInvalidArgument (options, repository
// layout), kUnavailable (port taken), the first model's load error when exit_on_error,
// kDeadlineExceeded when requests were still in flight after exit_timeout.
Status Serve(const ServeOptions& options, Fleet& fleet);

}  // namespace fusee::server
