// The flags of `fusee serve`: Triton's spellings where the meaning is the same, and a clear refusal
// where it is not.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/status.h"
#include "server/serve.h"

namespace fusee::cli {

struct ServeFlags {
  server::ServeOptions options;
  int threads = 0;              // of each CPU worker; 0: the CPUs there are, divided by the workers
  int workers = 1;              // of the CPU
  int cuda_devices = 1;         // how many CUDA devices to use, from the first on
  uint64_t request_memory = 0;  // bytes of input tensors, and as many of outputs, that workers map;
                                // after Apply never 0
  bool nvtx = false;            // GPU workers name batches and steps for Nsight Systems
  int64_t golden_probe_ms = 1000;  // of idleness before a worker makes a golden run again; 0: never
  std::string worker_faults;       // for tests: base/fault.h, of every worker

  void Add(CLI::App& app);
  // Moves what was parsed into options. Errors: kInvalidArgument naming the flag, why it cannot be
  // had, what to use.
  Status Apply();

 private:
  // As parsed; units in the names.
  int http_port_ = 8000, metrics_port_ = 8002;
  int64_t default_deadline_ms_ = 0, max_deadline_ms_ = 0, drain_delay_ms_ = 0, exit_timeout_s_ = 0;
  bool allow_http_ = true, allow_metrics_ = true, allow_grpc_ = false;
  std::string grpc_port_, model_control_mode_, device_order_;
};

}  // namespace fusee::cli
