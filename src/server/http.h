// HTTP as the endpoints see it: a request with its whole body, a response to fill in. No Beast, no
// socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "ipc/memory.h"
#include "server/byte_budget.h"

namespace fusee::server {

enum class HttpMethod : uint8_t { kGet, kPost, kHead, kOther };

// Where a body is to be read to, straight from the socket. An empty block: into a string.
struct BodyPlace {
  ipc::Block block;
  size_t offset = 0;  // of the body's first byte; the block has room for all of it
};

struct HttpRequest {
  HttpMethod method = HttpMethod::kOther;
  std::string path;   // as sent, without the query; still percent-encoded
  std::string query;  // after '?', or empty
  std::vector<std::pair<std::string, std::string>> headers;  // in order of arrival
  std::string body;                                          // empty when it was placed
  BodyPlace placed;
  // The body, wherever it lies.
  std::string_view content() const {
    if (!placed.block) return body;
    return {reinterpret_cast<const char*>(placed.block.data()) + placed.offset,
            placed.block.bytes() - placed.offset};
  }
  // What the peer announced: known before the body is read; nullopt with chunked encoding.
  std::optional<uint64_t> content_length;
  // Of the listener's HttpLimits::body_bytes_in_flight: the body. Who holds the request holds these
  // bytes; an endpoint that makes more of the body, or drops it, resizes them.
  ByteReservation memory;
  TimePoint arrival;  // when the headers were complete: deadlines count from here

  // The first header of this name (case does not matter), or nullptr.
  const std::string* Header(std::string_view name) const;
};

// What goes back. The body is `body` followed by `blobs`, which owner keeps alive until they are
// sent.
struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>>
      headers;  // Content-Length and Connection are added when sent
  std::string body;
  std::vector<std::span<const std::byte>> blobs;
  std::shared_ptr<const void> owner;
  bool close = false;  // close the connection after this response

  static HttpResponse Json(std::string text, int status = 200);
  static HttpResponse Text(std::string text, std::string content_type);
  // {"error": message}, status by the code: see HttpStatusOf.
  static HttpResponse Error(const Status& status);
  static HttpResponse Error(int status, std::string_view message);
};

// Triton's map, completed: INVALID_ARGUMENT and other faults of the request 400, NOT_FOUND 404,
// RESOURCE_EXHAUSTED 429, INTERNAL and DATA_LOSS 500, UNIMPLEMENTED 501, UNAVAILABLE and
// DEADLINE_EXCEEDED 503.
int HttpStatusOf(StatusCode code);

// Sends the response of one request; call once, from any thread. Copies stand for the same request.
class Responder {
 public:
  using Make = std::function<HttpResponse()>;
  using Leave = std::function<void()>;
  // watch may be null: for listeners that do not notice a peer that leaves.
  explicit Responder(std::function<void(Make)> send, std::function<void(Leave)> watch = {})
      : send_(std::move(send)), watch_(std::move(watch)) {}
  void operator()(HttpResponse response) const;
  // The same, with the response made on the connection's own thread: keeps encoding off the thread
  // that runs models.
  void Later(Make make) const { send_(std::move(make)); }
  // leave is called, at most once and on the connection's own thread, when the peer ends the
  // connection before the response is sent; a response is still due. Only within
  // HttpHandler::OnRequest.
  void WhenPeerLeaves(Leave leave) const {
    if (watch_) watch_(std::move(leave));
  }

 private:
  std::function<void(Make)> send_;
  std::function<void(Leave)> watch_;
};

// What a listener does with requests. Called on the listener's threads, for different connections
// at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Headers are complete, the body is not read yet (request.body is empty). A response ends the
  // request there: whoever cannot be served need not send 64 MiB first.
  virtual std::optional<HttpResponse> OnHeaders(const HttpRequest& request) = 0;
  // Headers are accepted, and a body of this many bytes, more than none, is about to be read: where
  // to. The block's bytes end with the body.
  virtual BodyPlace PlaceBody(const HttpRequest& request, uint64_t bytes) { return {}; }
  // Must not block; may respond later.
  virtual void OnRequest(HttpRequest request, Responder respond) = 0;
};

}  // namespace fusee::server
