// A bounded HTTP/1.1 listener: keep-alive, pipelining, chunked bodies, Expect: 100-continue, and a
// named limit on everything a peer controls (HttpLimits in serve.h). Boost.Beast parses; nothing of
// it leaves http_server.cc.
//
// One request of a connection is handled at a time; what a peer pipelines waits in its socket. A
// refused or broken request is answered, then the connection is closed after reading on for a
// moment, because a close with unread bytes would reset the connection and destroy the answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "obs/metrics.h"
#include "server/http.h"
#include "server/serve.h"

namespace fusee::server {

class HttpServer {
 public:
  struct Options {
    std::string address = "0.0.0.0";
    uint16_t port = 0;
    uint32_t threads = 1;
    HttpLimits limits;
  };

  // Listens at once; connections are served from Start on (they queue until then). handler and
  // metrics outlive it. Errors: kInvalidArgument (address), kUnavailable (port taken).
  static Result<std::unique_ptr<HttpServer>> Listen(const Options& options, HttpHandler* handler,
                                                    obs::Metrics* metrics);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  void Start();
  // Stops accepting, closes idle connections; those with a request in flight close after its
  // response.
  void Drain();
  // Requests read (at least their headers) and not fully answered.
  uint32_t in_flight() const;
  // Ends every connection and joins the threads. Responders called later do nothing.
  void Stop();

  struct Impl;  // of http_server.cc

 private:
  explicit HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;  // shared with connections and responders that outlive Stop
};

}  // namespace fusee::server
