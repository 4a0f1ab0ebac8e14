// Convolution by cuDNN's graph API: convolution, bias, residual and Relu or Clip as one plan.
//
// Plans are made at build, for exact shapes, and serialised into the step's configuration; loading
// a plan compiles nothing (1 ms). cuDNN's heuristics leave the Hopper kernels out, so these are
// enumerated here: every KERNEL_CFG of the last engine that has this knob. Deterministic engines
// only; for f32 none that rounds inputs to TF32, unless the step allows it.
//
// Measured on one H100 with cuDNN 9.14, 3 x 3 convolutions of ResNet-50 in f16, us, the heuristics'
// best / the last engine's: 56 x 56 x 64 5.1 / 3.3 at batch 1 and 10.5 / 7.6 at batch 8, 28 x 28 x
// 128 8.1 / 5.7 at batch 8. Earlier engines with the knob never won and take 0.6 to 10 s a plan;
// the last one 0.6 s. Convolutions of one pixel are products, where cuBLASLt's kernels are as good
// and need no compiling: for them the heuristics' choices only.
//
// A run makes one descriptor (addresses and workspace) and enqueues; inside a captured graph that
// happens once, at capture.
#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "cuda/cudnn.h"
#include "cuda/error.h"
#include "device/cpu_limits.h"
#include "ops/kernel.h"
#include "ops/nn/conv.h"

namespace fusee::ops {
namespace {

using cuda::CudnnApi;
using cuda::CudnnDescriptor;

constexpr int64_t kHeuristicsMax = 6;  // from each heuristic; these compile nothing
constexpr int64_t kEnginesMax = 128;
constexpr int64_t kKernelCfgMax = 64;
constexpr size_t kPlansMax = kKernelCfgMax + 2 * kHeuristicsMax;  // of one step
constexpr uint64_t kWorkspaceMax = uint64_t{64} << 20;
constexpr int kBuildThreadsMax = 16;

constexpr uint32_t kConfigMagic = 0x314E4446;  // "FDN1"
struct ConfigHeader {
  uint32_t magic = kConfigMagic;
  uint32_t reserved = 0;
  uint64_t workspace_bytes = 0;
};

// Tensors of the graph by their unique ids.
enum Uid : int64_t { kX = 1, kW, kBias, kResidual, kY, kFirstVirtual };

// Shapes and parameters of one exact step.
struct Problem {
  ConvParams conv;
  ConvShape shape;
  bool bias = false, residual = false;
};

Result<Problem> ReadProblem(const StepSpec& spec) {
  Problem p;
  FUSEE_TRY(p.conv, ParseConv(spec));
  if (!p.conv.window.channels_last) return RefuseTactic(spec, "takes layout NHWC");
  if (p.conv.dtype != DType::kF16 && p.conv.dtype != DType::kBF16 && p.conv.dtype != DType::kF32)
    return RefuseTactic(spec, "takes f32, f16 and bf16");
  if (p.conv.activation.kind != ActivationKind::kNone &&
      p.conv.activation.kind != ActivationKind::kRelu &&
      p.conv.activation.kind != ActivationKind::kClip)
    return RefuseTactic(spec, "takes the activations Relu and Clip");
  for (const TensorSpec& t : spec.inputs) {
    if (t.present() && !t.is_static) return RefuseTactic(spec, "takes exact shapes");
  }
  FUSEE_TRY(ConvGeometry(p.conv, spec.inputs[0].max_shape, spec.inputs[1].max_shape, &p.shape));
  if (p.shape.batch == 0 || p.shape.out_channels == 0 || p.shape.channels == 0)
    return RefuseTactic(spec, "takes no empty tensors");
  if (p.conv.window.spatial == 3) return RefuseTactic(spec, "takes 1-D and 2-D windows");
  p.bias = spec.has_input(2);
  p.residual = spec.has_input(3);
  return p;
}

cudnnDataType_t TypeOf(DType dtype) {
  if (dtype == DType::kF16) return CUDNN_DATA_HALF;
  if (dtype == DType::kBF16) return CUDNN_DATA_BFLOAT16;
  return CUDNN_DATA_FLOAT;
}

// The operation graph with everything it refers to.
class OperationGraph {
 public:
  static Result<OperationGraph> Build(const CudnnApi& api, cudnnHandle_t handle, const Problem& p) {
    OperationGraph g(&api);
    FUSEE_TRY(g.AddOperations(p));
    FUSEE_TRY(g.graph_, CudnnDescriptor::Create(api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR));
    std::vector<cudnnBackendDescriptor_t> operations;
    for (const CudnnDescriptor& op : g.operations_) operations.push_back(op.get());
    FUSEE_TRY(g.graph_.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                           std::span<const cudnnBackendDescriptor_t>(operations)));
    FUSEE_TRY(g.graph_.Set(kGraphHandle, CUDNN_TYPE_HANDLE, handle));
    FUSEE_TRY(g.graph_.Finalize());
    return g;
  }
  const CudnnDescriptor& get() const { return graph_; }

 private:
  // Deprecated since cuDNN 9.14 and needed before.
  static constexpr auto kGraphHandle = static_cast<cudnnBackendAttributeName_t>(800);

  explicit OperationGraph(const CudnnApi* api) : api_(api) {}

  // A channels-last tensor whose dimensions are given as N, C, H, W.
  Result<size_t> AddTensor(int64_t uid, cudnnDataType_t type, const std::array<int64_t, 4>& dims,
                           bool is_virtual) {
    const auto [n, c, h, w] = dims;
    (void)n;
    const std::array<int64_t, 4> strides = {c * h * w, 1, c * w, c};
    FUSEE_TRY(CudnnDescriptor t, CudnnDescriptor::Create(*api_, CUDNN_BACKEND_TENSOR_DESCRIPTOR));
    FUSEE_TRY(t.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type));
    FUSEE_TRY(
        t.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::span<const int64_t>(dims)));
    FUSEE_TRY(
        t.Set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::span<const int64_t>(strides)));
    FUSEE_TRY(t.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid));
    FUSEE_TRY(t.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16}));
    FUSEE_TRY(t.Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual));
    FUSEE_TRY(t.Finalize());
    tensors_.push_back(std::move(t));
    return tensors_.size() - 1;
  }

  Status AddConvolution(const Problem& p, size_t x, size_t w, size_t y) {
    const Window& window = p.shape.window;
    const std::array<int64_t, 2> stride = {window.stride[1], window.stride[2]};
    const std::array<int64_t, 2> dilation = {window.dilation[1], window.dilation[2]};
    const std::array<int64_t, 2> before = {window.pad_begin[1], window.pad_begin[2]};
    const std::array<int64_t, 2> after = {window.pad_end[1], window.pad_end[2]};
    using Ints = std::span<const int64_t>;
    FUSEE_TRY(CudnnDescriptor conv,
              CudnnDescriptor::Create(*api_, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2}));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                       CUDNN_CROSS_CORRELATION));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, Ints(stride)));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, Ints(dilation)));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, Ints(before)));
    FUSEE_TRY(conv.Set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, Ints(after)));
    FUSEE_TRY(conv.Finalize());
    FUSEE_TRY(
        CudnnDescriptor op,
        CudnnDescriptor::Create(*api_, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, tensors_[x]));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, tensors_[w]));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, tensors_[y]));
    FUSEE_TRY(op.Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0f));
    FUSEE_TRY(op.Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0f));
    FUSEE_TRY(op.Finalize());
    parts_.push_back(std::move(conv));
    operations_.push_back(std::move(op));
    return OkStatus();
  }

  // y = x + b, or y = activation(x) when b is kNone.
  static constexpr size_t kNone = ~size_t{0};
  Status AddPointwise(const Activation& activation, size_t x, size_t b, size_t y) {
    FUSEE_TRY(CudnnDescriptor pointwise,
              CudnnDescriptor::Create(*api_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR));
    const cudnnPointwiseMode_t mode = b != kNone ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
    FUSEE_TRY(pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode));
    FUSEE_TRY(
        pointwise.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT));
    if (b == kNone && activation.kind == ActivationKind::kClip) {
      FUSEE_TRY(
          pointwise.Set(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, activation.alpha));
      FUSEE_TRY(
          pointwise.Set(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, activation.beta));
    }
    FUSEE_TRY(pointwise.Finalize());
    FUSEE_TRY(CudnnDescriptor op,
              CudnnDescriptor::Create(*api_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[x]));
    if (b != kNone) FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[b]));
    FUSEE_TRY(op.SetDescriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[y]));
    FUSEE_TRY(op.Finalize());
    parts_.push_back(std::move(pointwise));
    operations_.push_back(std::move(op));
    return OkStatus();
  }

  Status AddOperations(const Problem& p) {
    const cudnnDataType_t type = TypeOf(p.conv.dtype);
    const ConvShape& s = p.shape;
    const Window& w = s.window;
    const std::array<int64_t, 4> result = {s.batch, s.out_channels, w.out[1], w.out[2]};
    FUSEE_TRY(const size_t x, AddTensor(kX, type, {s.batch, s.channels, w.in[1], w.in[2]}, false));
    FUSEE_TRY(
        const size_t weights,
        AddTensor(kW, type, {s.out_channels, s.group_channels, w.kernel[1], w.kernel[2]}, false));
    const bool activates = p.conv.activation.kind != ActivationKind::kNone;
    int more =
        static_cast<int>(p.bias) + static_cast<int>(p.residual) + static_cast<int>(activates);
    int64_t uid = kFirstVirtual;
    // The last operation writes y; the others values in float that never leave the kernel.
    const auto next = [&]() -> Result<size_t> {
      return more-- > 0 ? AddTensor(uid++, CUDNN_DATA_FLOAT, result, true)
                        : AddTensor(kY, type, result, false);
    };
    FUSEE_TRY(size_t value, next());
    FUSEE_TRY(AddConvolution(p, x, weights, value));
    if (p.bias) {
      FUSEE_TRY(const size_t bias, AddTensor(kBias, type, {1, s.out_channels, 1, 1}, false));
      FUSEE_TRY(const size_t sum, next());
      FUSEE_TRY(AddPointwise({}, value, bias, sum));
      value = sum;
    }
    if (p.residual) {
      FUSEE_TRY(const size_t residual, AddTensor(kResidual, type, result, false));
      FUSEE_TRY(const size_t sum, next());
      FUSEE_TRY(AddPointwise({}, value, residual, sum));
      value = sum;
    }
    if (activates) {
      FUSEE_TRY(const size_t y, next());
      FUSEE_TRY(AddPointwise(p.conv.activation, value, kNone, y));
    }
    return OkStatus();
  }

  const CudnnApi* api_;
  std::vector<CudnnDescriptor> tensors_, parts_, operations_;
  CudnnDescriptor graph_;
};

// --- at build: which plans there are ---

// False for engines whose results are not always the same bits, or that round f32 inputs unasked.
bool IsAllowed(const CudnnDescriptor& engine, const ConvParams& conv) {
  for (const auto note : engine.List<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                  CUDNN_TYPE_NUMERICAL_NOTE)) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_FFT: return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        if (conv.dtype == DType::kF32 && !conv.tf32) return false;
        break;
      default: break;
    }
  }
  return true;
}

struct Candidate {
  CudnnDescriptor config;
  std::string name;
};

// The heuristics' choices, which are ordered by expected speed.
Status AddHeuristics(const CudnnApi& api, const OperationGraph& graph, const ConvParams& conv,
                     std::vector<Candidate>* list) {
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B}) {
    FUSEE_TRY(CudnnDescriptor heuristic,
              CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR));
    FUSEE_TRY(heuristic.SetDescriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.get()));
    FUSEE_TRY(heuristic.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode));
    if (!heuristic.Finalize().ok()) continue;  // it has nothing to say of this graph
    FUSEE_TRY(std::vector<CudnnDescriptor> configs,
              heuristic.Descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                    CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kHeuristicsMax));
    for (size_t i = 0; i < configs.size(); ++i) {
      FUSEE_TRY(
          std::vector<CudnnDescriptor> engines,
          configs[i].Descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1));
      if (engines.empty() || !IsAllowed(engines[0], conv)) continue;
      const auto index = engines[0].Get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64);
      list->push_back({std::move(configs[i]), fmt::format("heuristic {} #{} engine {}",
                                                          mode == CUDNN_HEUR_MODE_A ? 'A' : 'B', i,
                                                          index.ok() ? *index : -1)});
    }
  }
  return OkStatus();
}

struct Range {
  int64_t low = 0, high = -1;
};

// The values of an engine's KERNEL_CFG knob; empty without one that can be read.
Range KernelConfigsOf(const CudnnDescriptor& engine) {
  const auto knobs = engine.Descriptors(CUDNN_ATTR_ENGINE_KNOB_INFO,
                                        CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS);
  if (!knobs.ok()) return {};
  for (const CudnnDescriptor& knob : *knobs) {
    const auto type =
        knob.Get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_INFO_TYPE, CUDNN_TYPE_KNOB_TYPE);
    if (!type.ok() || *type != CUDNN_KNOB_TYPE_KERNEL_CFG) continue;
    const auto low = knob.Get<int64_t>(CUDNN_ATTR_KNOB_INFO_MINIMUM_VALUE, CUDNN_TYPE_INT64);
    const auto high = knob.Get<int64_t>(CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE, CUDNN_TYPE_INT64);
    if (!low.ok() || !high.ok()) continue;
    return {*low, std::min(*high, *low + kKernelCfgMax - 1)};
  }
  return {};
}

Status AddKernelConfig(const CudnnApi& api, const CudnnDescriptor& engine, int64_t index,
                       int64_t value, std::vector<Candidate>* list) {
  FUSEE_TRY(CudnnDescriptor choice,
            CudnnDescriptor::Create(api, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR));
  FUSEE_TRY(choice.Set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
                       CUDNN_KNOB_TYPE_KERNEL_CFG));
  FUSEE_TRY(choice.Set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, value));
  FUSEE_TRY(choice.Finalize());
  FUSEE_TRY(CudnnDescriptor config,
            CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
  FUSEE_TRY(config.SetDescriptor(CUDNN_ATTR_ENGINECFG_ENGINE, engine));
  FUSEE_TRY(config.SetDescriptor(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choice));
  if (config.Finalize().ok())
    list->push_back({std::move(config), fmt::format("engine {} config {}", index, value)});
  return OkStatus();
}

// Every value of the KERNEL_CFG knob of the last engine that has it: where the Hopper kernels are.
Status AddKernelConfigs(const CudnnApi& api, const OperationGraph& graph, const ConvParams& conv,
                        std::vector<Candidate>* list) {
  FUSEE_TRY(
      const int64_t engines,
      graph.get().Get<int64_t>(CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64));
  for (int64_t index = std::min(engines, kEnginesMax) - 1; index >= 0; --index) {
    FUSEE_TRY(CudnnDescriptor engine,
              CudnnDescriptor::Create(api, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    FUSEE_TRY(engine.SetDescriptor(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.get()));
    FUSEE_TRY(engine.Set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, index));
    if (!engine.Finalize().ok() || !IsAllowed(engine, conv)) continue;
    const Range range = KernelConfigsOf(engine);
    const size_t before = list->size();
    for (int64_t value = range.low; value <= range.high; ++value)
      FUSEE_TRY(AddKernelConfig(api, engine, index, value, list));
    if (list->size() > before) return OkStatus();
  }
  return OkStatus();
}

// Deprecated since cuDNN 9.14 and needed before.
constexpr auto kPlanHandle = static_cast<cudnnBackendAttributeName_t>(400);

// Builds the plan of a candidate and serialises it.
Result<Configuration> Serialise(const CudnnApi& api, cudnnHandle_t handle,
                                const Candidate& candidate) {
  FUSEE_TRY(CudnnDescriptor plan,
            CudnnDescriptor::Create(api, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
  FUSEE_TRY(plan.Set(kPlanHandle, CUDNN_TYPE_HANDLE, handle));
  FUSEE_TRY(plan.SetDescriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate.config));
  FUSEE_TRY(plan.Finalize());
  FUSEE_TRY(const int64_t workspace,
            plan.Get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64));
  if (workspace < 0 || static_cast<uint64_t>(workspace) > kWorkspaceMax)
    return Unimplemented("it needs too much workspace");
  const std::vector<char> json =
      plan.List<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR);
  const ConfigHeader header{.workspace_bytes = static_cast<uint64_t>(workspace)};
  if (json.empty() || json.size() + sizeof(header) > kConfigurationBytesMax)
    return Unimplemented("it cannot be serialised, or is too large");
  Configuration c;
  c.name = candidate.name;
  c.bytes.resize(sizeof(header) + json.size());
  std::memcpy(c.bytes.data(), &header, sizeof(header));
  std::memcpy(c.bytes.data() + sizeof(header), json.data(), json.size());
  return c;
}

// Serialising compiles most engines, 0.3 to 2 s each: on several threads, each with its own handle.
std::vector<Configuration> SerialiseAll(const CudnnApi& api,
                                        const std::vector<Candidate>& candidates, int ordinal) {
  std::vector<std::optional<Configuration>> results(candidates.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    if (cudaSetDevice(ordinal) != cudaSuccess) return;
    auto handle = cuda::CudnnHandle::Create();
    if (!handle.ok()) return;
    for (size_t i = next++; i < candidates.size(); i = next++) {
      auto one = Serialise(api, handle->get(), candidates[i]);
      if (one.ok()) results[i] = std::move(*one);
    }
  };
  {
    std::vector<std::jthread> threads;
    const int width =
        std::min({kBuildThreadsMax, UsableCpus(), static_cast<int>(candidates.size())});
    for (int t = 1; t < width; ++t) threads.emplace_back(work);
    work();
  }
  std::vector<Configuration> list;
  std::set<std::vector<std::byte>> seen;  // a heuristic's choice may be one of the enumerated
  for (auto& one : results) {
    if (one && seen.insert(one->bytes).second && list.size() < kPlansMax)
      list.push_back(std::move(*one));
  }
  return list;
}

Result<std::vector<Configuration>> Configurations(const StepSpec& spec, Device& device) {
  FUSEE_TRY(const Problem problem, ReadProblem(spec));
  FUSEE_TRY(const CudnnApi* api, cuda::Cudnn());
  FUSEE_TRY(const cuda::CudnnHandle handle, cuda::CudnnHandle::Create());
  FUSEE_TRY(const OperationGraph graph, OperationGraph::Build(*api, handle.get(), problem));
  std::vector<Candidate> candidates;
  FUSEE_TRY(AddHeuristics(*api, graph, problem.conv, &candidates));
  if (problem.shape.window.KernelElements() > 1 ||
      problem.shape.window.in != problem.shape.window.out)
    FUSEE_TRY(AddKernelConfigs(*api, graph, problem.conv, &candidates));
  std::vector<Configuration> list = SerialiseAll(*api, candidates, device.info().ordinal);
  if (list.empty()) return RefuseTactic(spec, "cuDNN has no deterministic plan for these shapes");
  return list;
}

// --- at run time ---

class ConvCudnn final : public BoundKernel {
 public:
  ConvCudnn(const Problem& problem, std::span<const std::byte> config) : problem_(problem) {
    ConfigHeader header;
    std::memcpy(&header, config.data(), sizeof(header));
    workspace_bytes_ = header.workspace_bytes;
    json_.assign(reinterpret_cast<const char*>(config.data()) + sizeof(header),
                 config.size() - sizeof(header));
  }

  size_t workspace_bytes() const override { return workspace_bytes_; }

  Status LoadOnDevice(Device&) override {
    FUSEE_TRY(api_, cuda::Cudnn());
    FUSEE_TRY(const cudnnHandle_t handle, cuda::ThreadHandle());
    FUSEE_TRY(plan_, CudnnDescriptor::Create(*api_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR));
    FUSEE_TRY(plan_.Set(kPlanHandle, CUDNN_TYPE_HANDLE, handle));
    Status status = plan_.Set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                              std::span<const char>(json_));
    if (status.ok()) status = plan_.Finalize();
    if (!status.ok()) {
      return FailedPrecondition(fmt::format(
          "cuDNN does not load the plan: {}; rebuild on this device", status.message()));
    }
    FUSEE_TRY(const int64_t workspace,
              plan_.Get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64));
    if (workspace < 0 || static_cast<uint64_t>(workspace) > workspace_bytes_) {
      return InvalidArgument(
          fmt::format("the cuDNN plan needs {} bytes of workspace, its configuration says {}",
                      workspace, workspace_bytes_));
    }
    json_.clear();
    json_.shrink_to_fit();
    return OkStatus();
  }

  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckConv(problem_.conv, args));
    ConvShape s;
    FUSEE_TRY(ConvGeometry(problem_.conv, args.inputs[0].shape, args.inputs[1].shape, &s));
    const ConvShape& want = problem_.shape;
    if (s.batch != want.batch || s.channels != want.channels ||
        s.out_channels != want.out_channels || s.window.in != want.window.in ||
        s.window.out != want.window.out)
      return InvalidArgument("Conv: a cuDNN plan runs at exactly the shapes it was made for");
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    FUSEE_TRY(const cudnnHandle_t handle, cuda::ThreadHandle());
    FUSEE_TRY(api_->ToStatus(api_->set_stream(handle, static_cast<cudaStream_t>(args.queue)),
                             "cudnnSetStream"));
    std::array<int64_t, 5> uids = {kX, kW, kY};
    std::array<void*, 5> data = {const_cast<void*>(args.inputs[0].data),
                                 const_cast<void*>(args.inputs[1].data), args.outputs[0].data};
    size_t count = 3;
    for (const auto& [present, uid, input] :
         {std::tuple(problem_.bias, kBias, 2), std::tuple(problem_.residual, kResidual, 3)}) {
      if (!present) continue;
      uids[count] = uid;
      data[count++] = const_cast<void*>(args.inputs[static_cast<size_t>(input)].data);
    }
    FUSEE_TRY(CudnnDescriptor pack,
              CudnnDescriptor::Create(*api_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
    FUSEE_TRY(pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
                       std::span<const int64_t>(uids.data(), count)));
    FUSEE_TRY(pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                       std::span<void* const>(data.data(), count)));
    void* const workspace = args.workspace.data();
    FUSEE_TRY(pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace));
    FUSEE_TRY(pack.Finalize());
    return api_->ToStatus(api_->execute(handle, plan_.get(), pack.get()), "cudnnBackendExecute");
  }

 private:
  const Problem problem_;
  uint64_t workspace_bytes_ = 0;
  std::string json_;  // until LoadOnDevice
  const CudnnApi* api_ = nullptr;
  CudnnDescriptor plan_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const Problem problem, ReadProblem(spec));
  if (spec.config.empty()) return RefuseTactic(spec, "runs only with a plan that the tuner chose");
  ConfigHeader header;
  if (spec.config.size() <= sizeof(header) || spec.config.size() > kConfigurationBytesMax)
    return BadStep(spec, "the configuration is not of conv_cudnn");
  std::memcpy(&header, spec.config.data(), sizeof(header));
  if (header.magic != kConfigMagic || header.reserved != 0 ||
      header.workspace_bytes > kWorkspaceMax)
    return BadStep(spec, "the configuration is not of conv_cudnn");
  return std::unique_ptr<BoundKernel>(std::make_unique<ConvCudnn>(problem, spec.config));
}

}  // namespace

extern const KernelDef conv_cudnn = {.id = "conv_cudnn.1",
                                     .op = "Conv",
                                     .device = DeviceKind::kCuda,
                                     .batch_invariant = false,
                                     .bind = &Bind,
                                     .configurations = &Configurations,
                                     .library = "cudnn"};

}  // namespace fusee::ops
