// Kernels for the fake device: the CPU's references, enqueued instead of run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/fake_device_test_util.h"
#include "ops/kernel.h"

namespace fusee::ops {

// Runs the reference behind the queue, on "device" addresses; a failed run is reported as a
// device's kernel does.
class FakeKernel final : public BoundKernel {
 public:
  explicit FakeKernel(std::unique_ptr<BoundKernel> inner) : inner_(std::move(inner)) {}
  size_t workspace_bytes() const override { return inner_->workspace_bytes(); }
  Status CheckShapes(const RunArgs& args) const override { return inner_->CheckShapes(args); }
  Status Run(const RunArgs& args) const override {
    const std::vector<ConstTensorView> inputs(args.inputs.begin(), args.inputs.end());
    const std::vector<TensorView> outputs(args.outputs.begin(), args.outputs.end());
    const std::vector<int64_t> dims(args.dims.begin(), args.dims.end());
    return static_cast<testing::FakeQueue*>(args.queue)
        ->Enqueue([this, inputs, outputs, dims, workspace = args.workspace, error = args.error] {
          SerialParallel serial;
          const RunArgs copy{inputs, outputs, dims, workspace, &serial};
          if (!inner_->Run(copy).ok()) *error = static_cast<uint32_t>(RunError::kIndexOutOfRange);
          return OkStatus();
        });
  }

 private:
  std::unique_ptr<BoundKernel> inner_;
};

inline Result<std::unique_ptr<BoundKernel>> BindFake(const StepSpec& spec) {
  FUSEE_TRY(auto inner, KernelsFor(spec.op).back()->bind(spec));
  return std::unique_ptr<BoundKernel>(std::make_unique<FakeKernel>(std::move(inner)));
}

// One kernel an operator, "<reference's id>" with "fake" in front: "fake_add_ref.1".
inline const KernelLibrary& FakeKernels() {
  static const KernelLibrary* const library = [] {
    auto* ids = new std::vector<std::unique_ptr<std::string>>;
    std::vector<const KernelDef*> kernels;
    for (const KernelDef* def : AllKernels()) {
      if (KernelsFor(def->op).back() != def) continue;
      ids->push_back(std::make_unique<std::string>("fake_" + std::string(def->id)));
      kernels.push_back(new KernelDef{.id = *ids->back(),
                                      .op = def->op,
                                      .device = DeviceKind::kCuda,
                                      .in_place_inputs = def->in_place_inputs,
                                      .bind = &BindFake});
    }
    return new KernelLibrary(std::move(kernels));
  }();
  return *library;
}

}  // namespace fusee::ops
