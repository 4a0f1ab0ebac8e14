// The only file that sees Boost.Beast.
#include "server/http_server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/log.h"

namespace fusee::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

// After a response that ends the connection, how long and how much is read on before closing.
constexpr std::chrono::seconds kLingerTime{2};
constexpr uint64_t kLingerBytesMax = 64ull << 20;
constexpr std::chrono::milliseconds kAcceptRetry{100};  // after running out of descriptors
constexpr size_t kReadBlockBytes = 64 << 10;
constexpr uint64_t kSmallBodyBytes = 64 << 10;

std::string_view ReasonPhrase(int status) {
  const beast::string_view phrase =
      http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {phrase.data(), phrase.size()};
}

std::string_view View(beast::string_view s) { return {s.data(), s.size()}; }

// The path and query of a request target. A client that takes this server for a proxy sends the
// whole URL (RFC 9112, 3.2.2: servers must accept that).
std::string_view OriginForm(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t path = target.find('/', scheme.size());
    return path == target.npos ? "/" : target.substr(path);
  }
  return target;
}

}  // namespace

class Connection;

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  Impl(const Options& o, HttpHandler* h, obs::Metrics* m)
      : options(o),
        handler(h),
        metrics(m),
        io(static_cast<int>(o.threads)),
        acceptor(io),
        retry(io) {}

  void Accept();
  void OnAccept(error_code error, tcp::socket socket);
  void Forget(Connection* connection);
  template <typename F>
  void ForEachConnection(F&& f);

  const Options options;
  HttpHandler* const handler;
  obs::Metrics* const metrics;
  asio::io_context io;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::vector<std::thread> threads;

  std::atomic<bool> draining{false};
  std::atomic<bool> stopped{false};
  std::atomic<uint32_t> in_flight{0};
  // Shared with the requests: one may outlive the server.
  const std::shared_ptr<ByteBudget> body_bytes =
      std::make_shared<ByteBudget>(options.limits.body_bytes_in_flight);
  std::mutex mutex;
  std::unordered_map<Connection*, std::weak_ptr<Connection>> connections;  // guarded by mutex
};

// One peer. All members are touched on the connection's strand only.
//
//   waiting --first byte--> headers --> body --> handling --> writing --+--> waiting
//                              |          |                             +--> lingering --> closed
//                              +----------+---- refused ----> writing --'
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<HttpServer::Impl> server)
      : server_(std::move(server)),
        stream_(std::move(socket)),
        limits_(server_->options.limits),
        // Room for the headers plus a block of body: what is larger than header_bytes without an
        // end is refused.
        buffer_(limits_.header_bytes + kReadBlockBytes) {
    chunk_header_ = [this](uint64_t size, beast::string_view, error_code& error) {
      OnChunk(size, error);
    };
  }
  ~Connection() {
    EndRequest();
    server_->Forget(this);
  }

  void Start() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Wait(); });
  }
  void CloseIfWaiting() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      if (self->waiting_) self->Close();
    });
  }
  void CloseNow() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Close(); });
  }

 private:
  void Close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

  void Wait() {
    if (server_->draining) return Close();
    if (buffer_.size() > 0) return ReadHeaders();  // pipelined
    waiting_ = true;
    stream_.expires_after(limits_.idle_timeout);
    stream_.async_read_some(
        buffer_.prepare(std::min<size_t>(kReadBlockBytes, limits_.header_bytes)),
        [self = shared_from_this()](error_code error, size_t n) {
          self->waiting_ = false;
          if (error) return self->Close();
          self->buffer_.commit(n);
          self->ReadHeaders();
        });
  }

  void ReadHeaders() {
    parser_.emplace();
    parser_->header_limit(limits_.header_bytes);
    parser_->body_limit(boost::none);  // judged by hand, for the sake of a useful answer
    chunks_ = 0;
    chunked_bytes_ = 0;
    refusal_.reset();
    stream_.expires_after(limits_.header_timeout);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](error_code error, size_t) {
                              if (error) return self->OnReadError(error);
                              self->OnHeaders();
                            });
  }

  void OnHeaders() {
    BeginRequest();
    request_.memory = ByteReservation(server_->body_bytes);
    const auto& message = parser_->get();
    request_.arrival = SteadyClock().Now();
    request_.method = message.method() == http::verb::get    ? HttpMethod::kGet
                      : message.method() == http::verb::post ? HttpMethod::kPost
                      : message.method() == http::verb::head ? HttpMethod::kHead
                                                             : HttpMethod::kOther;
    const std::string_view target = OriginForm(View(message.target()));
    const size_t question = target.find('?');
    request_.path = target.substr(0, question);
    if (question != target.npos) request_.query = target.substr(question + 1);
    for (const auto& field : message)
      request_.headers.emplace_back(View(field.name_string()), View(field.value()));
    const auto length = parser_->content_length();
    if (length)
      request_.content_length = *length;
    else if (!parser_->chunked())
      request_.content_length = 0;
    keep_alive_ = message.keep_alive();

    if (length && *length > limits_.body_bytes) return Refuse(TooLarge(*length));
    const bool expects =
        beast::iequals(message[http::field::expect], "100-continue") && !parser_->is_done();
    refusal_ = server_->handler->OnHeaders(request_);
    // A small body is read all the same: that is cheaper for both sides than a new connection.
    if (refusal_ && (expects || request_.content_length.value_or(UINT64_MAX) > kSmallBodyBytes)) {
      return Refuse(std::move(*refusal_));
    }
    if (length && !Reserve(*length)) return Refuse(NoMemory());
    if (length && *length > 0 && !refusal_)
      request_.placed = server_->handler->PlaceBody(request_, *length);
    parser_->body_limit(limits_.body_bytes);
    if (parser_->chunked()) parser_->on_chunk_header(chunk_header_);
    if (beast::iequals(message[http::field::expect], "100-continue") && !parser_->is_done())
      return SendContinue();
    ReadBody();
  }

  void SendContinue() {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(limits_.write_timeout);
    asio::async_write(stream_, asio::buffer(kContinue),
                      [self = shared_from_this()](error_code error, size_t) {
                        if (error) return self->Close();
                        self->ReadBody();
                      });
  }

  // Past the parser: it would want the body in memory of its own first.
  void ReadPlacedBody() {
    const std::string_view place = request_.content();
    auto* to = request_.placed.block.data() + request_.placed.offset;
    const size_t here = std::min(buffer_.size(), place.size());
    std::memcpy(to, buffer_.data().data(), here);
    buffer_.consume(here);
    asio::async_read(stream_, asio::buffer(to + here, place.size() - here),
                     [self = shared_from_this()](error_code error, size_t) {
                       if (error == asio::error::eof) error = http::error::partial_message;
                       if (error) return self->OnReadError(error);
                       self->Handle();
                     });
  }

  void ReadBody() {
    stream_.expires_after(limits_.body_timeout);
    if (request_.placed.block) return ReadPlacedBody();
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) {
                       if (error) return self->OnReadError(error);
                       self->Handle();
                     });
  }

  void OnChunk(uint64_t size, error_code& error) {
    if (size == 0) return;
    if (++chunks_ > limits_.body_chunks) {
      refusal_ = HttpResponse::Error(
          400, fmt::format("Chunked request body exceeds maximum of {} non-empty chunks. Send "
                           "fewer or larger HTTP chunks.",
                           limits_.body_chunks));
    } else if (size > limits_.body_bytes - chunked_bytes_) {
      refusal_ = TooLarge(chunked_bytes_ + std::min(size, limits_.body_bytes));
    } else if (!Reserve(size)) {
      refusal_ = NoMemory();
    }
    chunked_bytes_ += std::min(size, limits_.body_bytes);
    if (refusal_) error = http::error::body_limit;
  }

  HttpResponse TooLarge(uint64_t bytes) const {
    return HttpResponse::Error(
        400, fmt::format("request JSON size of {} bytes exceeds the maximum allowed input size of "
                         "{} bytes. Use --http-max-input-size to increase the limit.",
                         bytes, limits_.body_bytes));
  }
  HttpResponse NoMemory() const {
    HttpResponse response = HttpResponse::Error(
        503,
        fmt::format(
            "the requests being answered already hold {} bytes, the limit; try again in a moment",
            limits_.body_bytes_in_flight));
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }

  // bytes is at most HttpLimits::body_bytes.
  bool Reserve(uint64_t bytes) { return request_.memory.Resize(request_.memory.bytes() + bytes); }

  void OnReadError(const error_code& error) {
    if (error == http::error::end_of_stream || error == beast::error::timeout ||
        error == asio::error::operation_aborted || error == asio::error::connection_reset) {
      return Close();  // nobody to answer, or nothing was asked
    }
    BeginRequest();
    if (refusal_) return Refuse(std::move(*refusal_));
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return Refuse(HttpResponse::Error(
          431, fmt::format("request line and headers exceed {} bytes, the limit",
                           limits_.header_bytes)));
    }
    if (error == http::error::body_limit) return Refuse(TooLarge(limits_.body_bytes + 1));
    if (error == http::error::partial_message) {
      return Refuse(HttpResponse::Error(400, "the connection ended before the request did"));
    }
    if (error.category() != make_error_code(http::error::bad_method).category())
      return Close();  // the socket's trouble
    Refuse(HttpResponse::Error(400, fmt::format("malformed HTTP request: {}", error.message())));
  }

  // Answers without having read the whole request; the rest of it makes the connection useless.
  void Refuse(HttpResponse response) {
    const bool body_unread = parser_ && (!parser_->is_header_done() || !parser_->is_done());
    response.close = response.close || body_unread;
    Write(std::move(response));
  }

  void Handle() {
    if (refusal_) return Write(std::move(*refusal_));
    if (!request_.placed.block) request_.body = std::move(parser_->get().body());
    auto answered =
        std::make_shared<std::atomic<bool>>(false);  // shared with copies of the responder
    const auto send = [self = shared_from_this(), answered](Responder::Make make) {
      if (answered->exchange(true) || self->server_->stopped) return;
      asio::post(self->stream_.get_executor(),
                 [self, make = std::move(make)] { self->Write(make()); });
    };
    // OnRequest runs on the strand, and so does this within it; Write comes after it.
    const auto watch = [this](Responder::Leave leave) {
      leave_ = std::move(leave);
      Watch();
    };
    server_->handler->OnRequest(std::move(request_), Responder(send, watch));
  }

  // Waits for the peer to leave while its request is handled. A peer that only ends its sending
  // side looks the same, and counts as gone too.
  void Watch() {
    stream_.socket().async_wait(tcp::socket::wait_read,
                                [self = shared_from_this(), watch = ++watch_](error_code error) {
                                  if (!error && watch == self->watch_) self->OnReadable();
                                });
  }

  void OnReadable() {
    // What is pipelined has to be taken out of the way to see what comes after it. Once the buffer
    // is full, a peer that leaves is noticed when the answer is written.
    const size_t room = std::min(buffer_.max_size() - buffer_.size(), kReadBlockBytes);
    if (room == 0) return;
    const auto block = buffer_.prepare(room);
    const ssize_t n =
        ::recv(stream_.socket().native_handle(), block.data(), block.size(), MSG_DONTWAIT);
    if (n > 0) buffer_.commit(static_cast<size_t>(n));
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return Watch();
    if (const auto leave = std::exchange(leave_, {})) leave();
  }

  void EndWatch() {
    if (!std::exchange(leave_, {})) return;
    ++watch_;  // a completion that is on its way already is of no interest
    error_code ignored;
    stream_.socket().cancel(ignored);
  }

  void Write(HttpResponse response) {
    EndWatch();
    response_ = std::move(response);
    const bool head =
        parser_ && parser_->is_header_done() && parser_->get().method() == http::verb::head;
    uint64_t length = response_.body.size();
    for (const auto& blob : response_.blobs) length += blob.size();
    if (!keep_alive_ || server_->draining) response_.close = true;
    head_ = fmt::format("HTTP/1.1 {} {}\r\n", response_.status, ReasonPhrase(response_.status));
    for (const auto& [name, value] : response_.headers)
      fmt::format_to(std::back_inserter(head_), "{}: {}\r\n", name, value);
    fmt::format_to(std::back_inserter(head_), "Content-Length: {}\r\n{}\r\n", length,
                   response_.close ? "Connection: close\r\n" : "");
    buffers_.assign(1, asio::buffer(head_));
    if (!head) {
      buffers_.push_back(asio::buffer(response_.body));
      for (const auto& blob : response_.blobs)
        buffers_.push_back(asio::buffer(blob.data(), blob.size()));
    }
    stream_.expires_after(limits_.write_timeout);
    asio::async_write(stream_, buffers_, [self = shared_from_this()](error_code error, size_t) {
      const bool close = self->response_.close;
      self->response_ = {};  // and what it keeps alive: the request's memory
      self->EndRequest();
      if (error) return self->Close();
      if (close) return self->Linger();
      self->Wait();
    });
  }

  void Linger() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    buffer_.clear();
    stream_.expires_after(kLingerTime);
    LingerOn(0);
  }
  void LingerOn(uint64_t read) {
    stream_.async_read_some(buffer_.prepare(kReadBlockBytes),
                            [self = shared_from_this(), read](error_code error, size_t n) {
                              if (error || read + n > kLingerBytesMax) return self->Close();
                              self->LingerOn(read + n);
                            });
  }

  void BeginRequest() {
    if (in_request_) return;
    in_request_ = true;
    ++server_->in_flight;
    server_->metrics->Add(obs::MetricId::kHttpRequests);
  }
  void EndRequest() {
    leave_ = {};
    parser_.reset();  // with the body of a request that was refused
    request_ = {};
    if (std::exchange(in_request_, false)) --server_->in_flight;
  }

  // Shared, and declared first: a late responder may make this connection the last to hold the
  // server, whose io_context must then outlive the stream.
  const std::shared_ptr<HttpServer::Impl> server_;
  beast::tcp_stream stream_;
  const HttpLimits& limits_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::function<void(uint64_t, beast::string_view, error_code&)> chunk_header_;
  HttpRequest request_;
  HttpResponse response_;
  std::optional<HttpResponse> refusal_;
  std::string head_;
  std::vector<asio::const_buffer> buffers_;
  Responder::Leave leave_;  // of the request being handled; empty when its peer has left
  uint64_t watch_ = 0;      // names the newest Watch
  uint64_t chunks_ = 0, chunked_bytes_ = 0;
  bool keep_alive_ = false;
  bool waiting_ = false;
  bool in_request_ = false;
};

void HttpServer::Impl::Accept() {
  acceptor.async_accept(asio::make_strand(io),
                        [self = shared_from_this()](error_code error, auto socket) {
                          self->OnAccept(error, tcp::socket(std::move(socket)));
                        });
}

void HttpServer::Impl::OnAccept(error_code error, tcp::socket socket) {
  if (error == asio::error::operation_aborted || draining) return;
  if (error) {  // out of descriptors, usually: some will come back
    retry.expires_after(kAcceptRetry);
    retry.async_wait([self = shared_from_this()](error_code e) {
      if (!e) self->Accept();
    });
    return;
  }
  std::shared_ptr<Connection> connection;
  {
    const std::lock_guard lock(mutex);
    if (connections.size() < options.limits.connections) {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      connection = std::make_shared<Connection>(std::move(socket), shared_from_this());
      connections.emplace(connection.get(), connection);
      metrics->Add(obs::MetricId::kHttpConnections);
    }
  }
  if (connection)
    connection->Start();
  else
    metrics->Add(obs::MetricId::kHttpRefusedConnections);
  Accept();
}

void HttpServer::Impl::Forget(Connection* connection) {
  const std::lock_guard lock(mutex);
  if (connections.erase(connection) > 0) metrics->Subtract(obs::MetricId::kHttpConnections);
}

template <typename F>
void HttpServer::Impl::ForEachConnection(F&& f) {
  std::vector<std::shared_ptr<Connection>> alive;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [raw, weak] : connections) {
      if (auto connection = weak.lock()) alive.push_back(std::move(connection));
    }
  }
  for (const auto& connection : alive) f(*connection);
}

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const Options& options, HttpHandler* handler,
                                                       obs::Metrics* metrics) {
  auto impl = std::make_shared<Impl>(options, handler, metrics);
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error) {
    return InvalidArgument(fmt::format(
        "address '{}' is not an IP address; use 0.0.0.0 for every interface, 127.0.0.1 for "
        "this machine only",
        options.address));
  }
  const tcp::endpoint endpoint(address, options.port);
  impl->acceptor.open(endpoint.protocol(), error);
  if (!error) impl->acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) impl->acceptor.bind(endpoint, error);
  if (!error) impl->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return Unavailable(
        fmt::format("cannot listen on {}:{}: {}; choose another port, or 0 for any free one",
                    options.address, options.port, error.message()));
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() { Stop(); }

uint16_t HttpServer::port() const {
  error_code error;
  return impl_->acceptor.local_endpoint(error).port();
}

void HttpServer::Start() {
  impl_->work.emplace(impl_->io.get_executor());
  asio::post(impl_->io, [impl = impl_] { impl->Accept(); });
  for (uint32_t i = 0; i < impl_->options.threads; ++i) {
    impl_->threads.emplace_back([impl = impl_] {
      while (true) {
        try {
          impl->io.run();
          return;
        } catch (
            const std::exception& e) {  // its connection is gone with the handler; the others go on
          spdlog::error("http: {}", e.what());
        }
      }
    });
  }
}

void HttpServer::Drain() {
  if (impl_->draining.exchange(true)) return;
  asio::post(impl_->io, [impl = impl_] {
    error_code ignored;
    impl->acceptor.close(ignored);
    impl->retry.cancel();
  });
  impl_->ForEachConnection([](Connection& c) { c.CloseIfWaiting(); });
}

uint32_t HttpServer::in_flight() const { return impl_->in_flight; }

void HttpServer::Stop() {
  if (impl_->stopped.exchange(true)) return;
  Drain();
  impl_->ForEachConnection([](Connection& c) { c.CloseNow(); });
  impl_->work.reset();
  for (auto& thread : impl_->threads) thread.join();
  impl_->threads.clear();
  // What was posted too late for the threads, or before there were any: it holds the server alive.
  impl_->io.restart();
  impl_->io.poll();
}

}  // namespace fusee::server
