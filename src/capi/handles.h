// What the C ABI's opaque handles are. Internal to this room; tests elsewhere make a fusee_device
// of their own fake with it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "device/thread_pool.h"
#include "fusee/fusee.h"
#include "runtime/runtime.h"

struct fusee_status {
  fusee::Status status;
};

struct fusee_threads {
  fusee::ThreadPool pool;
};

struct fusee_device {
  std::unique_ptr<fusee::Device> device;
  const fusee::ops::KernelLibrary* kernels = nullptr;  // the module's, for ever
};

struct fusee_plan {
  std::shared_ptr<const fusee::runtime::LoadedPlan> loaded;  // shared with its contexts
  int64_t load_ns = 0;
  std::string isa;
  std::vector<std::string> input_shapes, output_shapes, step_sources;  // texts handed out
};

struct fusee_context final : fusee::runtime::StepHook {
  std::unique_ptr<fusee::runtime::Context> context;
  fusee_step_callback callback = nullptr;
  void* user = nullptr;
  std::vector<fusee_tensor> event_outputs;  // of the widest step

  void OnStep(const fusee::runtime::StepEvent& event) override;
};
