#include "cli/serve_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "device/thread_pool.h"
#include "server/model_config.h"

namespace fusee::cli {
namespace {

constexpr int kMaxPort = 65535;
constexpr int kCpuWorkersMax = 32;
constexpr int kCudaDevicesMax = 16;
constexpr uint64_t kRequestMemoryMax = uint64_t{16} << 30;
constexpr uint64_t kRequestMemoryMin = 1 << 20;
constexpr int64_t kGoldenProbeMsMax = int64_t{24} * 3600 * 1000;
constexpr int64_t kMaxDeadlineMs = int64_t{24} * 3600 * 1000;

}  // namespace

void ServeFlags::Add(CLI::App& app) {
  default_deadline_ms_ = options.default_deadline.count();
  max_deadline_ms_ = options.max_deadline.count();
  drain_delay_ms_ = options.drain_delay.count();
  exit_timeout_s_ = options.exit_timeout.count() / 1000;

  app.add_option("--model-repository,--model-store", options.model_repository,
                 "folder of models: DIR/<model>/<version>/model.plan")
      ->required();
  app.add_option("--http-port", http_port_,
                 "port for inference and health; 0: any free one, see --port-file")
      ->check(CLI::Range(0, kMaxPort))
      ->capture_default_str();
  app.add_option("--http-address", options.address, "address to listen on")->capture_default_str();
  app.add_option("--metrics-port", metrics_port_,
                 "port for /metrics; 0: any free one; the HTTP port's number: /metrics there only")
      ->check(CLI::Range(0, kMaxPort))
      ->capture_default_str();
  app.add_option("--port-file", options.port_file,
                 "write the HTTP port to this file once listening");
  app.add_option("--metrics-port-file", options.metrics_port_file, "the same for the metrics port");
  app.add_option("--http-thread-count", options.http_threads, "event loops of the HTTP server")
      ->check(CLI::Range(uint32_t{1}, server::kHttpThreadsMax))
      ->capture_default_str();
  app.add_option("--workers", workers, "CPU worker processes")
      ->check(CLI::Range(1, kCpuWorkersMax))
      ->capture_default_str();
  app.add_option("--device-order", device_order_,
                 "kinds of devices, first choice first, for models that name none (config.pbtxt, "
                 "parameter device_order)")
      ->default_str("cuda,cpu");
  app.add_option("--cuda-devices", cuda_devices,
                 "CUDA devices to use, from the first on, for models that have a CUDA plan")
      ->check(CLI::Range(1, kCudaDevicesMax))
      ->capture_default_str();
  app.add_option(
         "--request-memory", request_memory,
         "memory that workers map, bytes: for input tensors, and as many for outputs; a CUDA "
         "worker pins it; 0: four times --http-max-input-size")
      ->check(CLI::Range(uint64_t{0}, kRequestMemoryMax))
      ->capture_default_str();
  app.add_flag("--nvtx", nvtx, "CUDA workers name batches and steps for Nsight Systems");
  app.add_option("--golden-probe-ms", golden_probe_ms,
                 "a worker without work makes a golden run of its plans again after this long and "
                 "is replaced when the bits differ; 0: never")
      ->check(CLI::Range(int64_t{0}, kGoldenProbeMsMax))
      ->capture_default_str();
  app.add_option("--worker-faults", worker_faults, "for tests: faults of the workers")->group("");
  app.add_option("--threads", threads,
                 "threads of each CPU worker; 0: the processors there are, divided by the workers")
      ->check(CLI::Range(0, ThreadPool::kMaxWidth))
      ->capture_default_str();
  app.add_option("--http-max-input-size", options.http.body_bytes,
                 "largest request body, bytes; more is 400")
      ->check(CLI::Range(uint64_t{1}, server::kBodyBytesMax))
      ->capture_default_str();
  app.add_option("--max-connections", options.http.connections, "connections open at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-queue-requests", options.queue.requests,
                 "requests waiting, all models together; more is refused with Retry-After")
      ->check(CLI::Range(uint32_t{1}, server::kQueueRequestsMax))
      ->capture_default_str();
  app.add_option("--max-queue-bytes", options.queue.bytes,
                 "inputs and outputs of those waiting, bytes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--default-deadline-ms", default_deadline_ms_,
                 "deadline of a request that brings none")
      ->check(CLI::Range(int64_t{1}, kMaxDeadlineMs))
      ->capture_default_str();
  app.add_option("--max-deadline-ms", max_deadline_ms_, "the longest deadline a client may ask for")
      ->check(CLI::Range(int64_t{1}, kMaxDeadlineMs))
      ->capture_default_str();
  app.add_flag("--allow-unverified", options.allow_unverified,
               "also serve plans built with --no-verify");
  app.add_option("--strict-readiness", options.strict_readiness,
                 "ready only when every model is loaded")
      ->capture_default_str();
  app.add_option("--exit-on-error", options.exit_on_error, "end when a model does not load")
      ->capture_default_str();
  app.add_option("--drain-delay-ms", drain_delay_ms_,
                 "after SIGTERM: not ready but serving for this long")
      ->check(CLI::Range(int64_t{0}, kMaxDeadlineMs))
      ->capture_default_str();
  app.add_option("--exit-timeout-secs", exit_timeout_s_,
                 "then at most this long for requests in flight")
      ->check(CLI::Range(int64_t{0}, kMaxDeadlineMs / 1000))
      ->capture_default_str();
  app.add_option("--allow-http", allow_http_, "only true: there is no other protocol")
      ->capture_default_str();
  app.add_option("--allow-metrics", allow_metrics_, "only true: metrics are always kept")
      ->capture_default_str();
  app.add_option("--allow-grpc", allow_grpc_, "only false: gRPC is not built in")
      ->capture_default_str();
  app.add_option("--grpc-port", grpc_port_, "not available: gRPC is not built in");
  app.add_option("--model-control-mode", model_control_mode_,
                 "only none: every model is loaded at start");
}

Status ServeFlags::Apply() {
  if (allow_grpc_ || !grpc_port_.empty()) {
    return InvalidArgument(
        fmt::format("{}: this build serves no gRPC; use HTTP (--http-port) and leave the flag out",
                    allow_grpc_ ? "--allow-grpc=true" : "--grpc-port"));
  }
  if (!allow_http_)
    return InvalidArgument(
        "--allow-http=false: HTTP is the only protocol, nothing would be served");
  if (!allow_metrics_) {
    return InvalidArgument(
        "--allow-metrics=false: metrics cannot be switched off; bind --metrics-port where only "
        "your "
        "monitoring reaches it");
  }
  if (!model_control_mode_.empty() && model_control_mode_ != "none") {
    return InvalidArgument(
        fmt::format("--model-control-mode={}: only none, which loads every model at start",
                    model_control_mode_));
  }
  if (default_deadline_ms_ > max_deadline_ms_) {
    return InvalidArgument(fmt::format("--default-deadline-ms {} is above --max-deadline-ms {}",
                                       default_deadline_ms_, max_deadline_ms_));
  }
  if (!device_order_.empty()) {
    auto order = server::ParseDeviceOrder(device_order_);
    if (!order.ok()) return std::move(order).status().Annotate("--device-order");
    options.device_order = std::move(*order);
  }
  // Blocks are powers of two, so that a largest body with its tensors' alignment takes up to twice
  // its size; two of them fit.
  if (request_memory == 0) request_memory = 4 * options.http.body_bytes;
  request_memory = std::clamp(std::bit_ceil(request_memory), kRequestMemoryMin, kRequestMemoryMax);
  // The largest body, compressed and inflated, must fit when nothing else is in flight.
  options.http.body_bytes_in_flight =
      std::max(options.http.body_bytes_in_flight, 2 * options.http.body_bytes);
  options.http_port = static_cast<uint16_t>(http_port_);
  options.metrics_port = static_cast<uint16_t>(metrics_port_);
  options.metrics_on_own_port = metrics_port_ == 0 || metrics_port_ != http_port_;
  if (!options.metrics_on_own_port && !options.metrics_port_file.empty()) {
    return InvalidArgument("--metrics-port-file has no effect: metrics share the HTTP port");
  }
  options.default_deadline = std::chrono::milliseconds(default_deadline_ms_);
  options.max_deadline = std::chrono::milliseconds(max_deadline_ms_);
  options.drain_delay = std::chrono::milliseconds(drain_delay_ms_);
  options.exit_timeout = std::chrono::seconds(exit_timeout_s_);
  return OkStatus();
}

}  // namespace fusee::cli
