// Kernels for the fake device that say how long they take, for tests of the tuner. Each computes
// what the reference does.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ops/fake_kernels_test_util.h"

namespace fusee::ops {

// A FakeKernel that takes `us` of the device's time for each run.
class TimedKernel final : public BoundKernel {
 public:
  TimedKernel(std::unique_ptr<BoundKernel> inner, double us, size_t workspace)
      : inner_(std::move(inner)), us_(us), workspace_(workspace) {}
  size_t workspace_bytes() const override { return workspace_; }
  Status CheckShapes(const RunArgs& args) const override { return inner_->CheckShapes(args); }
  Status Run(const RunArgs& args) const override {
    auto* queue = static_cast<testing::FakeQueue*>(args.queue);
    FUSEE_TRY(inner_->Run(args));
    return queue->Enqueue([queue, us = us_] {
      queue->Spend(us);
      return OkStatus();
    });
  }

 private:
  std::unique_ptr<BoundKernel> inner_;
  double us_;
  size_t workspace_;
};

// What the next bind of the scripted kernels says. Tests set it; reset by each.
struct TimedScript {
  double default_us = 10;                // "timed.1", without configuration
  double other_us = 10;                  // "other.1", behind it
  std::vector<double> configuration_us;  // of timed.1's configurations; empty: it has none
  int listed = 0;                        // calls of `configurations`
};
inline TimedScript& Script() {
  static TimedScript script;
  return script;
}

inline Result<std::unique_ptr<BoundKernel>> BindTimed(const StepSpec& spec) {
  double us = Script().default_us;
  if (spec.config.size() == sizeof us) std::memcpy(&us, spec.config.data(), sizeof us);
  if (!spec.config.empty() && spec.config.size() != sizeof us)
    return RefuseTactic(spec, "a configuration is 8 bytes");
  FUSEE_TRY(auto inner, BindFake(spec));
  return std::unique_ptr<BoundKernel>(std::make_unique<TimedKernel>(
      std::move(inner), us, spec.config.empty() ? 0 : static_cast<size_t>(us)));
}
inline Result<std::unique_ptr<BoundKernel>> BindOther(const StepSpec& spec) {
  FUSEE_TRY(auto inner, BindFake(spec));
  return std::unique_ptr<BoundKernel>(
      std::make_unique<TimedKernel>(std::move(inner), Script().other_us, 0));
}
inline Result<std::vector<Configuration>> ListTimed(const StepSpec&, Device&) {
  ++Script().listed;
  std::vector<Configuration> list;
  for (double us : Script().configuration_us) {
    std::vector<std::byte> bytes(sizeof us);
    std::memcpy(bytes.data(), &us, sizeof us);
    list.push_back({"takes " + std::to_string(us), bytes});
  }
  return list;
}

// The two scripted kernels for one operator, "timed.1" and behind it "other.1". Kept for ever.
inline const KernelDef* TimedDef(std::string_view op, bool configured = false) {
  return new KernelDef{.id = "timed.1",
                       .op = op,
                       .device = DeviceKind::kCuda,
                       .in_place_inputs = KernelsFor(op).back()->in_place_inputs,
                       .bind = &BindTimed,
                       .configurations = configured ? &ListTimed : nullptr,
                       .library = configured ? "cublaslt" : ""};
}
inline const KernelDef* OtherDef(std::string_view op) {
  return new KernelDef{.id = "other.1",
                       .op = op,
                       .device = DeviceKind::kCuda,
                       .in_place_inputs = KernelsFor(op).back()->in_place_inputs,
                       .bind = &BindOther};
}

// `op` by the two scripted kernels, `missing` by none, everything else by the fake ones.
inline KernelLibrary TimedKernels(std::string_view op, bool configured,
                                  std::string_view missing = "") {
  std::vector<const KernelDef*> kernels = {TimedDef(op, configured), OtherDef(op)};
  for (const KernelDef* def : FakeKernels().all()) {
    if (def->op != op && def->op != missing) kernels.push_back(def);
  }
  return KernelLibrary(kernels);
}

}  // namespace fusee::ops
