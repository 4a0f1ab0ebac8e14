#include "ops/kernel_test_util.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

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
    return {call.op, &call.attrs, input_specs, output_specs, call.dims.size()};
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

}  // namespace

Result<std::vector<Tensor>> RunKernel(std::string_view id, const KernelCall& call,
                                      Parallel* parallel) {
  const KernelDef* kernel = FindKernel(id);
  if (kernel == nullptr)
    return NotFound("no kernel '" + std::string(id) + "'; is it in tactics.inc?");
  if (kernel->op != call.op)
    return InvalidArgument("kernel '" + std::string(id) + "' is not of " + std::string(call.op));

  Operands operands = MakeOperands(call);
  FUSEE_TRY(PackConstants(*kernel, call, &operands));
  FUSEE_TRY(std::unique_ptr<BoundKernel> bound, kernel->bind(operands.Spec(call)));

  SerialParallel serial;
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
  const GuardedBlock workspace(bound->workspace_bytes());
  RunArgs args{inputs,
               outputs,
               call.dims,
               {workspace.data(), workspace.size()},
               parallel ? parallel : &serial};
  FUSEE_TRY(bound->CheckShapes(args));
  FUSEE_TRY(bound->Run(args));

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

Result<std::vector<std::string_view>> CompareTactics(const KernelCall& call, double rtol,
                                                     double atol) {
  const auto kernels = KernelsFor(call.op);
  if (kernels.empty()) return NotFound("no kernel implements " + std::string(call.op));
  const KernelDef* reference = kernels.back();
  FUSEE_TRY(const std::vector<Tensor> want, RunKernel(reference->id, call));
  std::vector<std::string_view> ran = {reference->id};
  for (const KernelDef* kernel : kernels.first(kernels.size() - 1)) {
    Result<std::vector<Tensor>> got = RunKernel(kernel->id, call);
    if (!got.ok()) {
      if (got.status().code() == StatusCode::kUnimplemented) continue;
      return Status(got.status().code(), got.status().message()).Annotate(kernel->id);
    }
    for (size_t i = 0; i < want.size(); ++i) {
      if (!want[i].present()) continue;
      const Comparison c = Compare((*got)[i].view(), want[i].view(), {rtol, atol});
      if (!c.passed) {
        return Internal(std::string(kernel->id) + " differs from " + std::string(reference->id) +
                        " in result " + std::to_string(i) + ": " + c.reason);
      }
    }
    ran.push_back(kernel->id);
  }
  return ran;
}

}  // namespace fusee::ops
