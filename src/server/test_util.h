// For tests: an executor that computes simple things, a repository of its models, and a blocking
// HTTP client.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/log.h"
#include "ipc/executor.h"
#include "server/server.h"

namespace fusee::server {

// Model kinds, by the content of the "plan" file:
//   simple      INPUT0, INPUT1 i32[-1,16] -> OUTPUT0 sum, OUTPUT1 difference; batch 1..8; 1 us a
//   row identity    INPUT f32[-1,-1] -> OUTPUT the same; batch 1..8, length 1..1000 half INPUT
//   f16[4] -> OUTPUT the same; not batched bytes8      INPUT u8[-1] -> OUTPUT the same; not
//   batched, length 0..100 slow        identity whose table says 50 ms a row fail        identity
//   whose runs fail unverified  simple, not verified;  broken: does not load
class FakeModel final : public ipc::Model {
 public:
  FakeModel(std::string kind, const std::string& name, int64_t version) : kind_(std::move(kind)) {
    info_ = {.name = name,
             .version = version,
             .verified = kind_ != "unverified",
             .verification = "fake"};
    const auto batch = [&](int64_t max) {
      info_.symbols.push_back({.name = "batch", .min = 1, .max = max, .input = 0, .axis = 0});
      info_.batch_symbol = 0;
    };
    const auto tensor = [](const char* n, DType d, std::vector<int64_t> s) {
      return ipc::TensorInfo{n, d, std::move(s)};
    };
    if (kind_ == "simple" || kind_ == "unverified") {
      info_.inputs = {tensor("INPUT0", DType::kI32, {-1, 16}),
                      tensor("INPUT1", DType::kI32, {-1, 16})};
      info_.outputs = {tensor("OUTPUT0", DType::kI32, {-1, 16}),
                       tensor("OUTPUT1", DType::kI32, {-1, 16})};
      batch(8);
      info_.buckets = {{.symbol_values = {1}, .count = 10, .p50_us = 1, .p99_us = 1},
                       {.symbol_values = {8}, .count = 10, .p50_us = 4, .p99_us = 4}};
    } else if (kind_ == "half") {
      info_.inputs = {tensor("INPUT", DType::kF16, {4})};
      info_.outputs = {tensor("OUTPUT", DType::kF16, {4})};
    } else if (kind_ == "bytes8") {
      info_.inputs = {tensor("INPUT", DType::kU8, {-1})};
      info_.outputs = {tensor("OUTPUT", DType::kU8, {-1})};
      info_.symbols.push_back({.name = "n", .min = 0, .max = 100, .input = 0, .axis = 0});
    } else {
      info_.inputs = {tensor("INPUT", DType::kF32, {-1, -1})};
      info_.outputs = {tensor("OUTPUT", DType::kF32, {-1, -1})};
      batch(8);
      info_.symbols.push_back({.name = "length", .min = 1, .max = 1000, .input = 0, .axis = 1});
      const double row_us = kind_ == "slow" ? 50'000 : 1;
      const double full_us = kind_ == "slow" ? 8 * row_us : 2 * row_us;
      info_.buckets = {
          {.symbol_values = {1, 1000}, .count = 10, .p50_us = row_us, .p99_us = row_us},
          {.symbol_values = {8, 1000}, .count = 10, .p50_us = full_us, .p99_us = full_us}};
    }
  }
  const ipc::ModelInfo& info() const override { return info_; }
  const std::string& kind() const { return kind_; }

  Status OutputShapes(std::span<const Shape> inputs, std::span<Shape> outputs) const override {
    for (const auto& symbol : info_.symbols) {
      const int64_t value = inputs[symbol.input][symbol.axis];
      if (value < symbol.min || value > symbol.max) {
        return OutOfRange(
            fmt::format("{} is {}, outside {}..{}", symbol.name, value, symbol.min, symbol.max));
      }
    }
    for (const Shape& input : inputs) {
      if (input[0] != inputs[0][0]) return InvalidArgument("inputs differ in dimension 0");
    }
    for (Shape& output : outputs) output = inputs[0];
    return OkStatus();
  }

 private:
  std::string kind_;
  ipc::ModelInfo info_;
};

class FakeExecutor final : public ipc::Executor {
 public:
  FakeExecutor() : thread_([this] { Run(); }) {}
  ~FakeExecutor() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      held_ = false;
    }
    changed_.notify_all();
    thread_.join();
  }

  // While held, batches wait; Release lets them go.
  void Hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    changed_.notify_all();
  }
  void WaitForBatch() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty(); });
  }
  std::vector<size_t> batch_sizes() {
    const std::lock_guard lock(mutex_);
    return batch_sizes_;
  }

  Result<std::shared_ptr<const ipc::Model>> Load(const std::string& path, const std::string& name,
                                                 int64_t version) override {
    std::ifstream file(path);
    std::string kind;
    file >> kind;
    if (kind == "broken") return DataLoss("the plan is damaged");
    return std::shared_ptr<const ipc::Model>(std::make_shared<FakeModel>(kind, name, version));
  }

  void Execute(const ipc::Batch& batch, ipc::BatchListener* listener) override {
    {
      const std::lock_guard lock(mutex_);
      queue_.emplace_back(batch, listener);
      batch_sizes_.push_back(batch.items.size());
    }
    changed_.notify_all();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || (!held_ && !queue_.empty()); });
      if (queue_.empty()) return;
      const auto [batch, listener] = queue_.front();
      queue_.pop_front();
      lock.unlock();
      listener->OnBatchDone({.id = batch.id, .status = Compute(batch)});
      lock.lock();
    }
  }

  static Status Compute(const ipc::Batch& batch) {
    const std::string& kind = static_cast<const FakeModel*>(batch.model)->kind();
    if (kind == "fail") return Internal("the fake was told to fail");
    for (const ipc::BatchItem& item : batch.items) {
      if (kind != "simple" && kind != "unverified") {
        if (item.inputs[0].size_bytes() > 0) {
          std::memcpy(item.outputs[0].data, item.inputs[0].data,
                      static_cast<size_t>(item.inputs[0].size_bytes()));
        }
        continue;
      }
      for (int64_t i = 0; i < item.inputs[0].elements(); ++i) {
        int32_t a, b;
        std::memcpy(&a, static_cast<const char*>(item.inputs[0].data) + 4 * i, 4);
        std::memcpy(&b, static_cast<const char*>(item.inputs[1].data) + 4 * i, 4);
        static_cast<int32_t*>(item.outputs[0].data)[i] = a + b;
        static_cast<int32_t*>(item.outputs[1].data)[i] = a - b;
      }
    }
    return OkStatus();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<ipc::Batch, ipc::BatchListener*>> queue_;
  std::vector<size_t> batch_sizes_;
  bool held_ = false, stop_ = false;
  std::thread thread_;
};

struct Reply {
  int status = 0;                              // 0: the connection ended without a whole response
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// One blocking connection.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(port),
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_zero = {}};
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }

  Reply Read(bool head = false) {
    Reply reply;
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return reply;
    }
    const std::string text = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    size_t line = text.find("\r\n");
    const int status = std::stoi(text.substr(9, 3));
    for (line += 2; line < text.size();) {
      const size_t stop = text.find("\r\n", line), colon = text.find(": ", line);
      std::string name = text.substr(line, colon - line);
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      reply.headers[name] = text.substr(colon + 2, stop - colon - 2);
      line = stop + 2;
    }
    const size_t length =
        reply.headers.count("content-length") ? std::stoul(reply.headers["content-length"]) : 0;
    while (!head && buffer_.size() < length) {
      if (!Fill()) return reply;
    }
    reply.body = head ? "" : buffer_.substr(0, length);
    if (!head) buffer_.erase(0, length);
    reply.status = status;
    return reply;
  }
  // True when the server closed and nothing is left to read.
  bool Closed() { return buffer_.empty() && !Fill(); }

  Reply Get(const std::string& path) {
    Send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path));
    return Read();
  }
  Reply Post(const std::string& path, std::string_view body, const std::string& headers = "") {
    Send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n", path,
                     body.size(), headers));
    Send(body);
    return Read();
  }

 private:
  bool Fill() {
    char block[65536];
    const ssize_t n = recv(fd_, block, sizeof(block), 0);
    if (n <= 0) return false;
    buffer_.append(block, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  bool connected_ = false;
  std::string buffer_;
};

// A server on port 0 over a FakeExecutor and a repository in a temporary folder.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    spdlog::set_level(spdlog::level::off);
    root_ = std::filesystem::temp_directory_path() /
            fmt::format("fusee_server_test_{}_{}", getpid(),
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    options_.model_repository = root_.string();
    options_.address = "127.0.0.1";
    options_.http_port = 0;
    options_.metrics_port = 0;
  }
  ~ServerTest() override {
    executor_.Release();
    server_.reset();
    std::filesystem::remove_all(root_);
  }

  void AddPlan(const std::string& model, const std::string& kind,
               const std::string& version = "1") {
    std::filesystem::create_directories(root_ / model / version);
    std::ofstream(root_ / model / version / "model.plan") << kind;
  }
  void Listen() {
    auto server = Server::Start(options_, &executor_);
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(*server);
  }
  void Start() {
    ASSERT_NO_FATAL_FAILURE(Listen());
    const Status status = server_->LoadModels();
    ASSERT_TRUE(status.ok()) << status.message();
  }
  uint16_t port() const { return server_->http_port(); }

  std::filesystem::path root_;
  ServeOptions options_;
  FakeExecutor executor_;
  std::unique_ptr<Server> server_;
};

}  // namespace fusee::server
