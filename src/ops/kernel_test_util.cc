#include "ops/kernel_test_util.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "ops/module.h"
#include "tensor/compare.h"

namespace fusee::ops {
namespace {

constexpr size_t kCanaryBytes = 256;
constexpr std::byte kUnwritten{0xAB};
constexpr std::byte kCanary{0xC5};

// Memory of exactly `size` bytes with canaries on both sides; the payload is aligned like a planned
// tensor.
class GuardedBlock {
 public:
  explicit GuardedBlock(size_t size) : size_(size) {
    const size_t total =
        (2 * kCanaryBytes + size + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
    base_.reset(static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, total)),
                [](std::byte* p) { std::free(p); });
    FUSEE_CHECK(base_ != nullptr, "no memory for a test tensor");
    std::memset(base_.get(), static_cast<int>(kCanary), total);
    std::memset(data(), static_cast<int>(kUnwritten), size);
  }
  std::byte* data() const { return base_.get() + kCanaryBytes; }
  size_t size() const { return size_; }
  std::shared_ptr<const void> owner() const { return base_; }
  bool intact() const {
    for (size_t i = 0; i < kCanaryBytes; ++i) {
      if (base_.get()[i] != kCanary || data()[size_ + i] != kCanary) return false;
    }
    return true;
  }

 private:
  size_t size_;
  std::shared_ptr<std::byte> base_;  // second owner: the result Tensor
};

// The specs that bind sees, and the tensors behind them once constants are packed.
struct Operands {
  std::vector<Tensor> inputs;
  std::vector<TensorSpec> input_specs;
  std::vector<TensorSpec> output_specs;

  StepSpec Spec(const KernelCall& call) const {
    return {call.op,          &call.attrs, input_specs,       output_specs,
            call.dims.size(), call.config, call.counts.size()};
  }
  void SetInput(size_t i, Tensor tensor, bool constant) {
    inputs[i] = std::move(tensor);
    input_specs[i] = {inputs[i].dtype(), inputs[i].shape(), true,
                      constant ? inputs[i].view().data : nullptr};
  }
};

Operands MakeOperands(const KernelCall& call) {
  Operands operands;
  operands.inputs.resize(call.inputs.size());
  operands.input_specs.resize(call.inputs.size());
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    operands.SetInput(i, call.inputs[i], (call.constant_inputs >> i) & 1u);
  }
  for (const auto& [dtype, shape] : call.outputs)
    operands.output_specs.push_back({dtype, shape, true, nullptr});
  return operands;
}

Status PackConstants(const KernelDef& kernel, const KernelCall& call, Operands* operands) {
  if (kernel.pack == nullptr) return OkStatus();
  FUSEE_TRY(std::vector<PackedConstant> packed, kernel.pack(operands->Spec(call)));
  for (const PackedConstant& p : packed) {
    if (p.input >= operands->inputs.size())
      return Internal("pack names an operand that does not exist");
    TensorView out;
    FUSEE_TRY(Tensor tensor,
              Tensor::Allocate(DType::kU8, Shape{static_cast<int64_t>(p.bytes.size())}, &out));
    std::memcpy(out.data, p.bytes.data(), p.bytes.size());
    operands->SetInput(p.input, std::move(tensor), true);
  }
  return OkStatus();
}

// Runs a bound CPU kernel between guarded blocks.
Result<std::vector<Tensor>> RunOnHost(std::string_view id, const KernelCall& call,
                                      const Operands& operands, BoundKernel& bound,
                                      Parallel* parallel, std::vector<int64_t>* found) {
  SerialParallel serial;
  std::vector<int64_t> counts = call.counts;
  std::vector<GuardedBlock> blocks;
  std::vector<ConstTensorView> inputs;
  std::vector<TensorView> outputs;
  for (const Tensor& input : operands.inputs) inputs.push_back(input.view());
  for (const auto& [dtype, shape] : call.outputs) {
    TensorView view{dtype, shape, nullptr};
    if (view.present()) {
      blocks.emplace_back(static_cast<size_t>(view.size_bytes()));
      view.data = blocks.back().data();
    } else {
      blocks.emplace_back(0);
    }
    outputs.push_back(view);
  }
  if (call.in_place >= 0) {
    ConstTensorView& shared = inputs[static_cast<size_t>(call.in_place)];
    if (!shared.bytes().empty()) std::memcpy(outputs[0].data, shared.data, shared.bytes().size());
    shared.data = outputs[0].data;
  }
  const GuardedBlock workspace(bound.workspace_bytes());
  RunArgs args{.inputs = inputs,
               .outputs = outputs,
               .dims = call.dims,
               .workspace = {workspace.data(), workspace.size()},
               .parallel = parallel ? parallel : &serial,
               .counts = counts};
  FUSEE_TRY(bound.CheckShapes(args));
  FUSEE_TRY(bound.Run(args));
  if (found != nullptr) *found = counts;

  if (!workspace.intact()) return Internal(std::string(id) + " wrote outside its workspace");
  std::vector<Tensor> results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!blocks[i].intact())
      return Internal(std::string(id) + " wrote outside result " + std::to_string(i));
    if (!outputs[i].present()) {
      results.emplace_back();
      continue;
    }
    results.emplace_back(outputs[i].dtype, outputs[i].shape, blocks[i].data(), blocks[i].owner());
  }
  return results;
}

// A tensor on the device between canaries, as GuardedBlock is on the host.
class DeviceBlock {
 public:
  static Result<DeviceBlock> Make(const DeviceUnderTest& under, size_t size, const void* content) {
    DeviceBlock block;
    block.size_ = size;
    FUSEE_TRY(block.memory_, under.device->Allocate(size + 2 * kCanaryBytes));
    FUSEE_TRY(under.queue->Fill(block.memory_->device_data(), static_cast<int>(kCanary),
                                size + 2 * kCanaryBytes));
    if (content != nullptr) {
      FUSEE_TRY(under.queue->Upload(block.data(), content, size));
    } else {
      FUSEE_TRY(under.queue->Fill(block.data(), static_cast<int>(kUnwritten), size));
    }
    FUSEE_TRY(under.queue->Synchronize());
    return block;
  }
  std::byte* data() const { return static_cast<std::byte*>(memory_->device_data()) + kCanaryBytes; }
  // The content, after a look at both canaries.
  Result<std::vector<std::byte>> Read(const DeviceUnderTest& under, std::string_view what) const {
    std::vector<std::byte> all(size_ + 2 * kCanaryBytes);
    FUSEE_TRY(under.queue->Download(all.data(), memory_->device_data(), all.size()));
    FUSEE_TRY(under.queue->Synchronize());
    for (size_t i = 0; i < kCanaryBytes; ++i) {
      if (all[i] != kCanary || all[all.size() - 1 - i] != kCanary)
        return Internal("wrote outside " + std::string(what));
    }
    return std::vector<std::byte>(all.begin() + kCanaryBytes, all.end() - kCanaryBytes);
  }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  size_t size_ = 0;
};

// The same on the device under test.
Result<std::vector<Tensor>> RunOnDevice(const DeviceUnderTest& under, const KernelCall& call,
                                        const Operands& operands, BoundKernel& bound) {
  std::vector<DeviceBlock> in, out;
  std::vector<ConstTensorView> inputs;
  std::vector<TensorView> outputs;
  for (const Tensor& input : operands.inputs) {
    ConstTensorView view = input.view();
    FUSEE_TRY(DeviceBlock block,
              DeviceBlock::Make(under, static_cast<size_t>(view.present() ? view.size_bytes() : 0),
                                view.data));
    if (view.present()) view.data = block.data();
    in.push_back(std::move(block));
    inputs.push_back(view);
  }
  for (const auto& [dtype, shape] : call.outputs) {
    TensorView view{dtype, shape, nullptr};
    FUSEE_TRY(DeviceBlock block,
              DeviceBlock::Make(under, static_cast<size_t>(view.present() ? view.size_bytes() : 0),
                                nullptr));
    if (view.present()) view.data = block.data();
    out.push_back(std::move(block));
    outputs.push_back(view);
  }
  if (call.in_place >= 0) {
    const auto shared = static_cast<size_t>(call.in_place);
    const auto bytes = operands.inputs[shared].bytes();
    FUSEE_TRY(under.queue->Upload(outputs[0].data, bytes.data(), bytes.size()));
    FUSEE_TRY(under.queue->Synchronize());
    inputs[shared].data = outputs[0].data;
  }
  FUSEE_TRY(DeviceBlock workspace, DeviceBlock::Make(under, bound.workspace_bytes(), nullptr));
  const uint32_t no_error = 0;
  FUSEE_TRY(DeviceBlock error, DeviceBlock::Make(under, sizeof(no_error), &no_error));
  FUSEE_TRY(bound.LoadOnDevice(*under.device));
  RunArgs args{.inputs = inputs,
               .outputs = outputs,
               .dims = call.dims,
               .workspace = {workspace.data(), bound.workspace_bytes()},
               .queue = under.queue->native(),
               .error = reinterpret_cast<uint32_t*>(error.data())};
  FUSEE_TRY(bound.CheckShapes(args));
  FUSEE_TRY(bound.Run(args));
  FUSEE_TRY(const std::vector<std::byte> error_bytes, error.Read(under, "its error word"));
  uint32_t code = 0;
  std::memcpy(&code, error_bytes.data(), sizeof(code));
  FUSEE_TRY(ToStatus(static_cast<RunError>(code), call.op));
  FUSEE_TRY(const std::vector<std::byte> scratch, workspace.Read(under, "its workspace"));
  std::vector<Tensor> results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    FUSEE_TRY(const std::vector<std::byte> bytes,
              out[i].Read(under, "result " + std::to_string(i)));
    if (!outputs[i].present()) {
      results.emplace_back();
      continue;
    }
    TensorView view;
    FUSEE_TRY(Tensor tensor, Tensor::Allocate(outputs[i].dtype, outputs[i].shape, &view));
    if (!bytes.empty()) std::memcpy(view.data, bytes.data(), bytes.size());
    results.push_back(std::move(tensor));
  }
  return results;
}

// Opens what FUSEE_TEST_DEVICE names.
Result<DeviceUnderTest> OpenTestDevice(std::string_view text) {
  FUSEE_TRY(const DeviceName name, ParseDeviceName(text));
  if (name.kind == DeviceKind::kCpu) return InvalidArgument("the CPU's kernels are always tested");
  FUSEE_TRY(const DeviceModule* module, LoadDeviceModule(name.kind));
  DeviceUnderTest under;
  under.kernels = module->kernels;
  // Both live as long as the program: tests end by returning from main.
  FUSEE_TRY(std::unique_ptr<Device> device, module->open(name.ordinal));
  under.device = device.release();
  FUSEE_TRY(std::unique_ptr<DeviceQueue> queue, under.device->CreateQueue());
  under.queue = queue.release();
  return under;
}

}  // namespace

const DeviceUnderTest* TestDevice() {
  static const DeviceUnderTest* const under = []() -> const DeviceUnderTest* {
    const char* name = std::getenv("FUSEE_TEST_DEVICE");
    if (name == nullptr || *name == '\0') return nullptr;
    Result<DeviceUnderTest> opened = OpenTestDevice(name);
    FUSEE_CHECK(opened.ok(), opened.status().message().c_str());
    return new DeviceUnderTest(*opened);
  }();
  return under;
}

bool TestsAreBrief() {
  const char* value = std::getenv("FUSEE_TEST_BRIEF");
  return value != nullptr && std::string_view(value) == "1";
}

bool TestsLibraries() {
  const char* value = std::getenv("FUSEE_TEST_LIBRARIES");
  return value == nullptr || std::string_view(value) != "0";
}

std::vector<const KernelDef*> TacticsUnderTest(std::string_view op) {
  const auto cpu = KernelsFor(op);
  std::vector<const KernelDef*> tactics(cpu.begin(), cpu.end());
  if (const DeviceUnderTest* under = TestDevice(); under != nullptr) {
    for (const KernelDef* kernel : under->kernels->For(op)) {
      if (kernel->library.empty() || TestsLibraries()) tactics.push_back(kernel);
    }
  }
  return tactics;
}

Result<std::vector<Tensor>> RunKernel(std::string_view id, const KernelCall& call,
                                      Parallel* parallel, std::vector<int64_t>* found) {
  const KernelDef* kernel = FindKernel(id);
  const DeviceUnderTest* under = kernel == nullptr ? TestDevice() : nullptr;
  if (under != nullptr) kernel = under->kernels->Find(id);
  if (kernel == nullptr)
    return NotFound("no kernel '" + std::string(id) + "'; is it in tactics.inc?");
  if (kernel->op != call.op)
    return InvalidArgument("kernel '" + std::string(id) + "' is not of " + std::string(call.op));

  Operands operands = MakeOperands(call);
  FUSEE_TRY(PackConstants(*kernel, call, &operands));
  FUSEE_TRY(std::unique_ptr<BoundKernel> bound, kernel->bind(operands.Spec(call)));
  auto results = under != nullptr ? RunOnDevice(*under, call, operands, *bound)
                                  : RunOnHost(id, call, operands, *bound, parallel, found);
  if (!results.ok() && under != nullptr) return std::move(results).status().Annotate(id);
  return results;
}

Status TakesStep(const KernelDef& kernel, const KernelCall& call) {
  const Operands operands = MakeOperands(call);
  FUSEE_TRY(const std::unique_ptr<BoundKernel> bound, kernel.bind(operands.Spec(call)));
  std::vector<ConstTensorView> inputs;
  for (const Tensor& input : operands.inputs)
    inputs.push_back({input.dtype(), input.shape(), nullptr});
  std::vector<TensorView> outputs;
  for (const auto& [dtype, shape] : call.outputs) outputs.push_back({dtype, shape, nullptr});
  std::vector<int64_t> counts = call.counts;
  return bound->CheckShapes(
      {.inputs = inputs, .outputs = outputs, .dims = call.dims, .counts = counts});
}

Result<std::vector<std::string_view>> CompareTactics(const KernelCall& call, double rtol,
                                                     double atol, std::optional<Tolerance> device) {
  const auto cpu = KernelsFor(call.op);
  if (cpu.empty()) return NotFound("no kernel implements " + std::string(call.op));
  const KernelDef* reference = cpu.back();
  FUSEE_TRY(const std::vector<Tensor> want, RunKernel(reference->id, call));
  std::vector<std::string_view> ran = {reference->id};
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    if (kernel == reference) continue;
    Result<std::vector<Tensor>> got = RunKernel(kernel->id, call);
    if (!got.ok()) {
      if (got.status().code() == StatusCode::kUnimplemented) continue;
      return Status(got.status().code(), got.status().message()).Annotate(kernel->id);
    }
    for (size_t i = 0; i < want.size(); ++i) {
      if (!want[i].present()) continue;
      const bool own = device && kernel->device != DeviceKind::kCpu;
      const Comparison c =
          Compare((*got)[i].view(), want[i].view(), own ? *device : Tolerance{rtol, atol});
      if (!c.passed) {
        return Internal(std::string(kernel->id) + " differs from " + std::string(reference->id) +
                        " in result " + std::to_string(i) + ": " + c.reason);
      }
    }
    ran.push_back(kernel->id);
  }
  return ran;
}

Result<std::vector<std::string>> CompareConfigurations(const KernelCall& call, double rtol,
                                                       double atol, size_t limit) {
  std::vector<std::string> ran;
  const DeviceUnderTest* under = TestDevice();
  if (under == nullptr) return ran;
  FUSEE_TRY(const std::vector<Tensor> want, RunKernel(KernelsFor(call.op).back()->id, call));
  for (const KernelDef* kernel : under->kernels->For(call.op)) {
    if (kernel->configurations == nullptr) continue;
    if (!kernel->library.empty() && !TestsLibraries()) continue;
    KernelCall configured = call;
    auto offered = kernel->configurations(MakeOperands(call).Spec(call), *under->device);
    if (!offered.ok() && offered.status().code() == StatusCode::kUnimplemented) continue;
    FUSEE_TRY(const std::vector<Configuration> list, std::move(offered));
    for (size_t i = 0; i < list.size() && i < limit; ++i) {
      const std::string name = std::string(kernel->id) + ": " + list[i].name;
      configured.config = list[i].bytes;
      Result<std::vector<Tensor>> got = RunKernel(kernel->id, configured);
      if (got.status().code() == StatusCode::kUnimplemented) continue;
      if (!got.ok()) return std::move(got).status().Annotate(name);
      for (size_t r = 0; r < want.size(); ++r) {
        if (!want[r].present()) continue;
        const Comparison c = Compare((*got)[r].view(), want[r].view(), {rtol, atol});
        if (!c.passed)
          return Internal(name + " differs in result " + std::to_string(r) + ": " + c.reason);
      }
      ran.push_back(name);
    }
  }
  return ran;
}

}  // namespace fusee::ops
