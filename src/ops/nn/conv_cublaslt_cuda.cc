// A convolution of one pixel each (kernel 1, stride 1, no pads, one group, channels last) is a
// product as it lies in memory: [N * pixels, C] times the transposed weights [O, C]. This hands it
// to the Gemm tactic of cuBLASLt, which adds bias and residual and applies Relu in its epilogue.
//
// Two thirds of ResNet-50's convolutions are of this kind.
#include <array>

#include "ops/kernel.h"
#include "ops/math_mode.h"
#include "ops/nn/conv.h"

namespace fusee::ops {

extern const KernelDef gemm_cublaslt_cuda;

namespace {

// x, w, bias, residual: the same operands in the same order as Gemm's a, b, c and residual.
constexpr size_t kOperandsMax = 4;

// Errors: kUnimplemented: the step is no such convolution.
Result<ConvParams> ReadConv(const StepSpec& spec) {
  FUSEE_TRY(const ConvParams p, ParseConv(spec));
  if (!p.window.channels_last) return RefuseTactic(spec, "takes layout NHWC");
  for (const TensorSpec& t : spec.inputs) {
    if (t.present() && !t.is_static) return RefuseTactic(spec, "takes exact shapes");
  }
  ConvShape s;
  FUSEE_TRY(ConvGeometry(p, spec.inputs[0].max_shape, spec.inputs[1].max_shape, &s));
  if (p.group != 1 || s.window.KernelElements() != 1 || s.window.in != s.window.out)
    return RefuseTactic(spec, "takes kernels of one element with stride 1 and no pads");
  for (size_t i = 0; i < s.window.stride.size(); ++i) {
    if (s.window.pad_begin[i] != 0 || s.window.pad_end[i] != 0 || s.window.stride[i] != 1)
      return RefuseTactic(spec, "takes kernels of one element with stride 1 and no pads");
  }
  return p;
}

// [.., C] as [rows, C].
Shape Rows(const Shape& shape) {
  const int64_t columns = shape[shape.rank() - 1];
  return columns == 0 ? Shape{0, 0} : Shape{shape.elements() / columns, columns};
}

// Operand i as Gemm takes it: the bias alone keeps its shape.
Shape OperandShape(size_t i, const Shape& shape) { return i == 2 ? shape : Rows(shape); }

// The step as a Gemm.
class GemmStep {
 public:
  explicit GemmStep(const StepSpec& conv) : attrs_({{"transB", int64_t{1}}}) {
    for (std::string_view name :
         {kMathAttr, std::string_view("activation"), std::string_view("activation_alpha"),
          std::string_view("activation_beta")}) {
      if (const auto* value = conv.attrs->Find(name)) attrs_.Set(std::string(name), *value);
    }
    for (size_t i = 0; i < conv.inputs.size(); ++i) {
      inputs_.push_back(conv.inputs[i]);
      if (inputs_[i].present()) inputs_[i].max_shape = OperandShape(i, conv.inputs[i].max_shape);
    }
    outputs_.push_back(conv.outputs[0]);
    outputs_[0].max_shape = Rows(conv.outputs[0].max_shape);
    config_ = conv.config;
  }
  StepSpec spec() const { return {"Gemm", &attrs_, inputs_, outputs_, 0, config_}; }

 private:
  Attrs attrs_;
  std::vector<TensorSpec> inputs_, outputs_;
  std::span<const std::byte> config_;
};

class ConvAsGemm final : public BoundKernel {
 public:
  ConvAsGemm(ConvParams params, std::unique_ptr<BoundKernel> gemm)
      : params_(std::move(params)), gemm_(std::move(gemm)) {}

  size_t workspace_bytes() const override { return gemm_->workspace_bytes(); }
  Status LoadOnDevice(Device& device) override { return gemm_->LoadOnDevice(device); }
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(params_, args));
    return WithGemm(args, [&](const RunArgs& gemm) { return gemm_->CheckShapes(gemm); });
  }
  Status Run(const RunArgs& args) const override {
    return WithGemm(args, [&](const RunArgs& gemm) { return gemm_->Run(gemm); });
  }

 private:
  template <typename Function>
  Status WithGemm(const RunArgs& args, Function call) const {
    if (args.inputs.size() > kOperandsMax) return InvalidArgument("Conv: too many operands");
    std::array<ConstTensorView, kOperandsMax> inputs;
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      inputs[i] = args.inputs[i];
      if (args.has_input(i)) inputs[i].shape = OperandShape(i, args.inputs[i].shape);
    }
    std::array<TensorView, 1> outputs = {args.outputs[0]};
    outputs[0].shape = Rows(args.outputs[0].shape);
    RunArgs gemm = args;
    gemm.inputs = {inputs.data(), args.inputs.size()};
    gemm.outputs = outputs;
    return call(gemm);
  }

  const ConvParams params_;
  const std::unique_ptr<BoundKernel> gemm_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(ConvParams params, ReadConv(spec));
  const GemmStep step(spec);
  FUSEE_TRY(std::unique_ptr<BoundKernel> gemm, gemm_cublaslt_cuda.bind(step.spec()));
  return std::unique_ptr<BoundKernel>(
      std::make_unique<ConvAsGemm>(std::move(params), std::move(gemm)));
}

Result<std::vector<Configuration>> Configurations(const StepSpec& spec, Device& device) {
  if (auto params = ReadConv(spec); !params.ok()) return std::move(params).status();
  const GemmStep step(spec);
  return gemm_cublaslt_cuda.configurations(step.spec(), device);
}

}  // namespace

extern const KernelDef conv_cublaslt_cuda = {.id = "conv_cublaslt_cuda.1",
                                             .op = "Conv",
                                             .device = DeviceKind::kCuda,
                                             .batch_invariant = false,
                                             .bind = &Bind,
                                             .configurations = &Configurations,
                                             .library = "cublaslt"};

}  // namespace fusee::ops
