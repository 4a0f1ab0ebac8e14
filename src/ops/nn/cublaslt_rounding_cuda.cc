#include "ops/nn/cublaslt_rounding_cuda.h"

#include <algorithm>
#include <cmath>

#include "tensor/half.h"

namespace fusee::ops {

extern const KernelDef matmul_cublaslt_cuda, gemm_cublaslt_cuda;

namespace {

constexpr float kSmall = 0x1p-6f;  // its square is what halves lose beside 1

uint16_t BitsOf(DType dtype, float value) {
  return dtype == DType::kF16 ? Half(value).bits : BFloat16(value).bits;
}
float ValueOf(DType dtype, float value) {
  return dtype == DType::kF16 ? static_cast<float>(Half(value))
                              : static_cast<float>(BFloat16(value));
}

// Operands on the device: every row of a is alpha's sign times 1, 2^-6, 0, 0, ..., every column of
// b the same without the sign. What is left of alpha * (1 + 2^-12) - |alpha| is then positive, so
// that Relu keeps it.
class Operands {
 public:
  static Result<Operands> Make(const StepSpec& spec, const LtProblem& p, Device& device) {
    Operands o;
    FUSEE_TRY(o.queue_, device.CreateQueue());
    const MatMulShape& s = p.shape;
    const DType dtype = p.params.dtype;
    const int64_t batches = s.batch_rank > 0 ? s.batches : 1;
    const float sign = p.params.alpha < 0 ? -1 : 1;
    FUSEE_TRY(o.a_, o.Upload(device, Lines(spec.inputs[0].max_shape.elements(), dtype, sign,
                                           batches, s.a_batch[0], s.m, s.a_row, s.a_col)));
    FUSEE_TRY(o.b_, o.Upload(device, Lines(spec.inputs[1].max_shape.elements(), dtype, 1, batches,
                                           s.b_batch[0], s.n, s.b_col, s.b_row)));
    const auto count = static_cast<size_t>(batches * s.m * s.n);
    o.result_.resize(static_cast<size_t>(std::min<int64_t>(s.n, kLooked)));
    FUSEE_TRY(
        o.minus_,
        o.Upload(device, std::vector<uint16_t>(
                             count, BitsOf(dtype, static_cast<float>(-std::abs(p.params.alpha) /
                                                                     Beta(p))))));
    FUSEE_TRY(o.zero_, o.Upload(device, std::vector<uint16_t>(count)));
    FUSEE_TRY(o.y_, o.Upload(device, std::vector<uint16_t>(count)));
    FUSEE_TRY(o.workspace_,
              device.Allocate(LtWorkspaceBytes({.workspace_bytes = kLtWorkspaceMax})));
    return o;
  }

  // What is added cancels the 1 of the sum only where it can be held exactly.
  static bool CanCancel(const LtProblem& p) {
    const auto wanted = static_cast<float>(-std::abs(p.params.alpha) / Beta(p));
    return wanted != 0 && ValueOf(p.params.dtype, wanted) == wanted;
  }

  // Runs with -1 in the bias or in the added matrix; whether anything is left.
  Result<bool> Keeps(const LtProblem& p, const BoundKernel& bound, const StepSpec& spec,
                     bool minus_in_bias) {
    FUSEE_TRY(queue_->Fill(y_->device_data(), 0, y_->size()));
    std::vector<ConstTensorView> inputs;
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      const TensorSpec& t = spec.inputs[i];
      const DeviceMemory* memory = i == 0 ? a_.get() : b_.get();
      if (i >= 2) memory = (p.bias && i == 2) == minus_in_bias ? minus_.get() : zero_.get();
      inputs.push_back({t.dtype, t.max_shape, t.present() ? memory->device_data() : nullptr});
    }
    const TensorView outputs[] = {
        {spec.outputs[0].dtype, spec.outputs[0].max_shape, y_->device_data()}};
    const RunArgs args{
        .inputs = inputs,
        .outputs = outputs,
        .workspace = {static_cast<std::byte*>(workspace_->device_data()), bound.workspace_bytes()},
        .queue = queue_->native()};
    FUSEE_TRY(bound.CheckShapes(args));
    FUSEE_TRY(bound.Run(args));
    FUSEE_TRY(queue_->Download(result_.data(), y_->device_data(), 2 * result_.size()));
    FUSEE_TRY(queue_->Synchronize());
    return std::ranges::all_of(result_, [](uint16_t bits) { return (bits & 0x7FFF) != 0; });
  }

 private:
  static constexpr int64_t kLooked = 8;  // elements of the result: a kernel treats all alike

  static double Beta(const LtProblem& p) { return p.added == 2 ? p.beta : 1; }

  static std::vector<uint16_t> Lines(int64_t elements, DType dtype, float sign, int64_t batches,
                                     int64_t batch, int64_t lines, int64_t line, int64_t step) {
    std::vector<uint16_t> bits(static_cast<size_t>(elements));
    for (int64_t i = 0; i < batches; ++i) {
      for (int64_t l = 0; l < lines; ++l) {
        const int64_t first = i * batch + l * line;
        bits[static_cast<size_t>(first)] = BitsOf(dtype, sign);
        bits[static_cast<size_t>(first + step)] = BitsOf(dtype, sign * kSmall);
      }
    }
    return bits;
  }

  Result<std::unique_ptr<DeviceMemory>> Upload(Device& device, std::vector<uint16_t> bits) {
    FUSEE_TRY(auto memory, device.Allocate(2 * bits.size()));
    FUSEE_TRY(queue_->Upload(memory->device_data(), bits.data(), memory->size()));
    FUSEE_TRY(queue_->Synchronize());
    return memory;
  }

  std::unique_ptr<DeviceQueue> queue_;
  std::unique_ptr<DeviceMemory> a_, b_, minus_, zero_, y_, workspace_;
  std::vector<uint16_t> result_;
};

// Other errors speak of the one algorithm only.
bool EndsTheList(StatusCode code) {
  return code == StatusCode::kAborted || code == StatusCode::kResourceExhausted;
}

Result<bool> Keeps(const StepSpec& spec, const LtProblem& problem, Device& device,
                   Operands& operands, const Configuration& configuration) {
  StepSpec configured = spec;
  configured.config = configuration.bytes;
  const KernelDef& def = problem.params.gemm ? gemm_cublaslt_cuda : matmul_cublaslt_cuda;
  FUSEE_TRY(std::unique_ptr<BoundKernel> bound, def.bind(configured));
  FUSEE_TRY(bound->LoadOnDevice(device));
  for (const bool in_bias : {true, false}) {
    if (in_bias ? !problem.bias : problem.added == 0) continue;
    FUSEE_TRY(const bool keeps, operands.Keeps(problem, *bound, spec, in_bias));
    if (!keeps) return false;
  }
  return true;
}

}  // namespace

Result<std::vector<Configuration>> KeepFloatSums(const StepSpec& spec, const LtProblem& problem,
                                                 Device& device, std::vector<Configuration> list) {
  const bool adds = problem.bias || problem.added != 0;
  if (!adds || problem.params.dtype == DType::kF32 || problem.shape.k < 2 ||
      !Operands::CanCancel(problem))
    return list;
  FUSEE_TRY(Operands operands, Operands::Make(spec, problem, device));
  std::vector<Configuration> kept;
  for (Configuration& c : list) {
    auto keeps = Keeps(spec, problem, device, operands, c);
    if (!keeps.ok() && EndsTheList(keeps.status().code())) return std::move(keeps).status();
    if (keeps.ok() && *keeps) kept.push_back(std::move(c));
  }
  return kept;
}

}  // namespace fusee::ops
