// Times every tactic and configuration of MatMul, FusedAttention and Conv on a GPU, through the
// module and device/device.h alone, the way a plan runs them:
//
//   nn_cuda_bench [CASE [TACTIC [MAX_CONFIGURATIONS]]]
//     cases whose name contains CASE and tactics whose id contains TACTIC; default all
//
// Each candidate is a graph of kCopies runs on rotating weights (more than twice the L2, so that
// weights come from memory) and warm activations; after warm-up the graph is launched kRounds
// times. Printed: the least and the median microseconds of one run, the rate, the floor's share,
// the largest difference from the first candidate's result, and how many runs were timed; and of
// each tactic how long listing its configurations and loading the slowest of them took.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "ops/kernel.h"
#include "ops/module.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr int kCopies = 48;
constexpr int kRounds = 30;
constexpr int kWarmUps = 3;
constexpr int kClockWarmUps = 2000;  // launches of the first graph: an idle GPU runs at 345 MHz
constexpr size_t kWeightsMax = 64;
constexpr size_t kBestShown = 6;  // of each tactic
constexpr uint64_t kSeed = 20240607;
constexpr double kBytesPerUs = 4.3e6;  // copy bandwidth measured on one H200
constexpr double kFlopsPerUs = 790e6;  // bf16 rate measured there

struct Case {
  std::string name;
  std::string op;
  Attrs attrs;
  DType dtype = DType::kF16;
  std::vector<Shape> inputs;  // rank 0: absent
  Shape output;
  uint32_t constants = 0;
  double flops = 0;
};

Case Linear(std::string_view name, int64_t m, int64_t n, int64_t k, std::string_view activation,
            bool residual, DType dtype = DType::kF16) {
  Case c;
  c.name = fmt::format("{} {}x{}x{} {}{}{}", name, m, n, k, DTypeName(dtype),
                       activation.empty() ? "" : " ", activation);
  if (residual) c.name += " residual";
  c.op = "MatMul";
  c.dtype = dtype;
  if (!activation.empty()) c.attrs.Set("activation", std::string(activation));
  c.inputs = {Shape{m, k}, Shape{k, n}, Shape{n}};
  if (residual) c.inputs.push_back(Shape{m, n});
  c.output = Shape{m, n};
  c.constants = 6;
  c.flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return c;
}

Case Attention(int64_t batch, int64_t seq, int64_t heads, int64_t dim, DType dtype = DType::kF16) {
  Case c;
  c.name = fmt::format("attention batch {} seq {} heads {}x{} {}", batch, seq, heads, dim,
                       DTypeName(dtype));
  c.op = "FusedAttention";
  c.dtype = dtype;
  c.attrs.Set("num_heads", heads);
  c.attrs.Set("packed_qkv", int64_t{1});
  c.attrs.Set("scale", 0.125);
  c.inputs = {Shape{batch, seq, 3 * heads * dim}};
  c.output = Shape{batch, seq, heads * dim};
  c.flops = 4.0 * static_cast<double>(batch * heads * dim) * static_cast<double>(seq * seq);
  return c;
}

// A convolution of ResNet-50, channels last, with bias and Relu.
struct ConvLayer {
  int64_t pixels, channels, out, kernel = 1, stride = 1;  // pixels: of one side of the input
  bool residual = false;
};

Case Convolution(int64_t batch, const ConvLayer& l) {
  const int64_t pad = l.kernel / 2, side = (l.pixels + 2 * pad - l.kernel) / l.stride + 1;
  Case c;
  c.name =
      fmt::format("conv batch {} {}x{}x{} to {} kernel {} stride {}{}", batch, l.pixels, l.pixels,
                  l.channels, l.out, l.kernel, l.stride, l.residual ? " residual" : "");
  c.op = "Conv";
  using Ints = std::vector<int64_t>;
  c.attrs = Attrs({{"kernel_shape", Ints{l.kernel, l.kernel}},
                   {"strides", Ints{l.stride, l.stride}},
                   {"pads", Ints{pad, pad, pad, pad}},
                   {"layout", std::string("NHWC")},
                   {"activation", std::string("Relu")}});
  c.output = Shape{batch, side, side, l.out};
  c.inputs = {Shape{batch, l.pixels, l.pixels, l.channels},
              Shape{l.out, l.kernel, l.kernel, l.channels}, Shape{l.out}};
  if (l.residual) c.inputs.push_back(c.output);
  c.constants = 6;
  c.flops = 2.0 * static_cast<double>(batch * side * side * l.out) *
            static_cast<double>(l.kernel * l.kernel * l.channels);
  return c;
}

void AddResNet50(int64_t batch, std::vector<Case>* cases) {
  constexpr ConvLayer kLayers[] = {
      {224, 3, 64, 7, 2},
      {56, 64, 64},
      {56, 64, 64, 3},
      {56, 64, 256, 1, 1, true},
      {56, 256, 64},
      {56, 256, 128},
      {56, 128, 128, 3, 2},
      {56, 256, 512, 1, 2},
      {28, 128, 512, 1, 1, true},
      {28, 512, 128},
      {28, 128, 128, 3},
      {28, 512, 256},
      {28, 256, 256, 3, 2},
      {28, 512, 1024, 1, 2},
      {14, 256, 1024, 1, 1, true},
      {14, 1024, 256},
      {14, 256, 256, 3},
      {14, 1024, 512},
      {14, 512, 512, 3, 2},
      {14, 1024, 2048, 1, 2},
      {7, 512, 2048, 1, 1, true},
      {7, 2048, 512},
      {7, 512, 512, 3},
  };
  for (const ConvLayer& layer : kLayers) cases->push_back(Convolution(batch, layer));
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (int64_t m : {128, 1024, 4096, 197, 1576}) {
    const std::string_view model = m % 197 == 0 ? "vit" : "bert";
    cases.push_back(Linear(fmt::format("{} qkv", model), m, 2304, 768, "", false));
    cases.push_back(Linear(fmt::format("{} proj", model), m, 768, 768, "", true));
    cases.push_back(Linear(fmt::format("{} ffn1", model), m, 3072, 768, "Gelu", false));
    cases.push_back(Linear(fmt::format("{} ffn2", model), m, 768, 3072, "", true));
  }
  cases.push_back(Linear("head", 1, 1000, 768, "", false));
  cases.push_back(Linear("f32 qkv", 128, 2304, 768, "", false, DType::kF32));
  cases.push_back(Linear("f32 qkv", 4096, 2304, 768, "", false, DType::kF32));
  for (int64_t batch : {1, 8, 32}) {
    cases.push_back(Attention(batch, 128, 12, 64));
    cases.push_back(Attention(batch, 197, 12, 64));
    cases.push_back(Attention(batch, 512, 12, 64));
  }
  cases.push_back(Attention(1, 2048, 32, 128));
  cases.push_back(Attention(1, 128, 12, 64, DType::kF32));
  for (int64_t batch : {1, 8}) AddResNet50(batch, &cases);
  return cases;
}

struct Timing {
  std::string name;
  double least = 0, median = 0;
  double difference = 0;
  double load_ms = 0;  // LoadOnDevice
  int runs = 0;
};

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Operands of one case on the device. Constants exist several times over.
class Operands {
 public:
  static Result<Operands> Make(Device& device, DeviceQueue& queue, const Case& c) {
    Operands o;
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      TensorView view;
      FUSEE_TRY(Tensor host, Tensor::Allocate(c.dtype, c.inputs[i], &view));
      FillRandom(view, Fill::kUniform, kSeed, i);
      const size_t bytes = static_cast<size_t>(view.size_bytes());
      const bool rotates = i == 1 && (c.constants & 2) != 0;
      const size_t copies =
          rotates ? std::clamp<size_t>(2 * device.info().l2_bytes / bytes + 2, 1, kWeightsMax) : 1;
      o.memory_.emplace_back();
      for (size_t copy = 0; copy < copies; ++copy) {
        FUSEE_TRY(auto memory, device.Allocate(bytes));
        FUSEE_TRY(queue.Upload(memory->device_data(), view.data, bytes));
        FUSEE_TRY(queue.Synchronize());
        o.memory_.back().push_back(std::move(memory));
      }
      o.specs_.push_back(
          {c.dtype, c.inputs[i], true, (c.constants >> i & 1) != 0 ? view.data : nullptr});
      o.hosts_.push_back(std::move(host));
    }
    o.outputs_ = {TensorSpec{c.dtype, c.output, true, nullptr}};
    const TensorView y{c.dtype, c.output, nullptr};
    FUSEE_TRY(o.y_, device.Allocate(static_cast<size_t>(y.size_bytes())));
    return o;
  }
  StepSpec Spec(const Case& c) const { return {c.op, &c.attrs, specs_, outputs_}; }
  std::vector<ConstTensorView> Inputs(int run) const {
    std::vector<ConstTensorView> views;
    for (size_t i = 0; i < specs_.size(); ++i) {
      const auto& copies = memory_[i];
      views.push_back({specs_[i].dtype, specs_[i].max_shape,
                       copies[static_cast<size_t>(run) % copies.size()]->device_data()});
    }
    return views;
  }
  DeviceMemory& y() const { return *y_; }

 private:
  std::vector<Tensor> hosts_;
  std::vector<TensorSpec> specs_, outputs_;
  std::vector<std::vector<std::unique_ptr<DeviceMemory>>> memory_;
  std::unique_ptr<DeviceMemory> y_;
};

class Bench {
 public:
  Bench(Device& device, DeviceQueue& queue, const KernelLibrary& kernels, std::string_view tactic,
        size_t configurations)
      : device_(device),
        queue_(queue),
        kernels_(kernels),
        tactic_(tactic),
        configurations_(configurations) {}

  Status Run(const Case& c) {
    fmt::print("\n{}\n", c.name);
    FUSEE_TRY(const Operands operands, Operands::Make(device_, queue_, c));
    first_result_ = Tensor();
    double bytes = static_cast<double>(operands.y().size());
    for (const ConstTensorView& v : operands.Inputs(0))
      bytes += static_cast<double>(v.size_bytes());
    const double floor = std::max(bytes / kBytesPerUs, c.flops / kFlopsPerUs);
    fmt::print("  {:>8} {:>8} {:>8} {:>6} {:>10} {:>5}  candidate (floor {:.2f} us)\n", "min us",
               "P50 us", "TFLOP/s", "floor", "difference", "runs", floor);
    for (const KernelDef* kernel : kernels_.For(c.op)) {
      if (device_.info().compute_capability < kernel->compute_capability ||
          kernel->id.find(tactic_) == std::string_view::npos)
        continue;
      RunTactic(*kernel, c, operands, floor);
    }
    return device_.health();
  }

 private:
  void RunTactic(const KernelDef& kernel, const Case& c, const Operands& operands, double floor) {
    std::vector<Configuration> list;
    const auto begin = std::chrono::steady_clock::now();
    if (kernel.configurations != nullptr) {
      auto offered = kernel.configurations(operands.Spec(c), device_);
      if (offered.ok())
        list = std::move(offered).value();
      else
        fmt::print("  {}: no configurations: {}\n", kernel.id, offered.status().message());
    }
    const double listing = SecondsSince(begin);
    const size_t offered = list.size();
    if (list.size() > configurations_) list.resize(configurations_);
    list.insert(list.begin(), Configuration{"default", {}});
    std::vector<Timing> timings;
    for (const Configuration& configuration : list) {
      auto timing = Time(kernel, configuration, c, operands);
      if (timing.ok()) {
        timing->name = fmt::format("{}: {}", kernel.id, configuration.name);
        timings.push_back(std::move(timing).value());
      } else {
        fmt::print("  {}: {}: {}\n", kernel.id, configuration.name, timing.status().message());
        if (!device_.health().ok()) return;
      }
    }
    std::stable_sort(timings.begin() + (timings.empty() ? 0 : 1), timings.end(),
                     [](const Timing& a, const Timing& b) { return a.median < b.median; });
    for (size_t i = 0; i < timings.size() && i <= kBestShown; ++i) {
      const Timing& t = timings[i];
      fmt::print("  {:8.2f} {:8.2f} {:8.1f} {:5.0f}% {:10.2g} {:5}  {}\n", t.least, t.median,
                 c.flops / t.median / 1e6, 100 * floor / t.median, t.difference, t.runs, t.name);
    }
    double worst = 0, load_ms = 0;
    for (const Timing& t : timings) {
      worst = std::max(worst, t.difference);
      load_ms = std::max(load_ms, t.load_ms);
    }
    fmt::print(
        "  {}: {} of {} configurations timed, largest difference {:.2g}; listed in {:.2f} s, "
        "slowest load {:.0f} ms, all in {:.2f} s\n",
        kernel.id, list.size() - 1, offered, worst, listing, load_ms, SecondsSince(begin));
  }

  Result<Timing> Time(const KernelDef& kernel, const Configuration& configuration, const Case& c,
                      const Operands& operands) {
    StepSpec spec = operands.Spec(c);
    spec.config = configuration.bytes;
    FUSEE_TRY(std::unique_ptr<BoundKernel> bound, kernel.bind(spec));
    const auto begin = std::chrono::steady_clock::now();
    FUSEE_TRY(bound->LoadOnDevice(device_));
    const double load_ms = SecondsSince(begin) * 1e3;
    FUSEE_TRY(auto workspace, device_.Allocate(bound->workspace_bytes()));
    FUSEE_TRY(auto error, device_.Allocate(sizeof(uint32_t)));
    FUSEE_TRY(queue_.Fill(error->device_data(), 0, error->size()));
    FUSEE_TRY(queue_.Fill(operands.y().device_data(), 0xFF, operands.y().size()));
    FUSEE_TRY(queue_.BeginCapture());
    for (int run = 0; run < kCopies; ++run) {
      const Status status = Enqueue(*bound, c, operands, run, *workspace, *error);
      if (!status.ok()) {
        queue_.AbandonCapture();
        return status;
      }
    }
    FUSEE_TRY(auto graph, queue_.EndCapture());
    const int warm_ups = clock_is_warm_ ? kWarmUps : kClockWarmUps;
    clock_is_warm_ = true;
    for (int i = 0; i < warm_ups; ++i) FUSEE_TRY(queue_.Launch(*graph));
    FUSEE_TRY(queue_.Synchronize());
    std::vector<double> us;
    for (int round = 0; round < kRounds; ++round) {
      FUSEE_TRY(queue_.MarkStart());
      FUSEE_TRY(queue_.Launch(*graph));
      FUSEE_TRY(queue_.MarkStop());
      FUSEE_TRY(const double elapsed, queue_.ElapsedMicroseconds());
      us.push_back(elapsed / kCopies);
    }
    std::sort(us.begin(), us.end());
    Timing timing;
    timing.load_ms = load_ms;
    timing.least = us.front();
    timing.median = us[us.size() / 2];
    timing.runs = kRounds * kCopies;
    FUSEE_TRY(timing.difference, Difference(c, operands));
    return timing;
  }

  Status Enqueue(const BoundKernel& bound, const Case& c, const Operands& operands, int run,
                 const DeviceMemory& workspace, const DeviceMemory& error) {
    const std::vector<ConstTensorView> inputs = operands.Inputs(run);
    const TensorView outputs[] = {{c.dtype, c.output, operands.y().device_data()}};
    const RunArgs args{
        .inputs = inputs,
        .outputs = outputs,
        .workspace = {static_cast<std::byte*>(workspace.device_data()), bound.workspace_bytes()},
        .queue = queue_.native(),
        .error = static_cast<uint32_t*>(error.device_data())};
    FUSEE_TRY(bound.CheckShapes(args));
    return bound.Run(args);
  }

  // The largest absolute difference from the first candidate of this case.
  Result<double> Difference(const Case& c, const Operands& operands) {
    TensorView view;
    FUSEE_TRY(Tensor y, Tensor::Allocate(c.dtype, c.output, &view));
    FUSEE_TRY(queue_.Download(view.data, operands.y().device_data(), operands.y().size()));
    FUSEE_TRY(queue_.Synchronize());
    if (!first_result_.present()) first_result_ = y;
    double worst = 0;
    for (int64_t i = 0; i < y.elements(); ++i) {
      const double d = DoubleAt(y.view(), i) - DoubleAt(first_result_.view(), i);
      if (std::isnan(d)) return std::numeric_limits<double>::infinity();  // an unwritten element
      worst = std::max(worst, std::abs(d));
    }
    return worst;
  }

  Device& device_;
  DeviceQueue& queue_;
  const KernelLibrary& kernels_;
  const std::string_view tactic_;
  const size_t configurations_;
  bool clock_is_warm_ = false;
  Tensor first_result_;
};

Status Main(std::string_view filter, std::string_view tactic, size_t configurations) {
  FUSEE_TRY(const DeviceModule* module, LoadDeviceModule(DeviceKind::kCuda));
  FUSEE_TRY(std::unique_ptr<Device> device, module->open(0));
  FUSEE_TRY(std::unique_ptr<DeviceQueue> queue, device->CreateQueue());
  const DeviceInfo& info = device->info();
  fmt::print("{}, {} multiprocessors, driver {}, cuBLASLt {}\n", info.name, info.multiprocessors,
             info.driver_version, info.cublaslt_version);
  Bench bench(*device, *queue, *module->kernels, tactic, configurations);
  for (const Case& c : Cases()) {
    if (c.name.find(filter) == std::string::npos) continue;
    FUSEE_TRY(bench.Run(c));
    std::fflush(stdout);
  }
  return OkStatus();
}

}  // namespace
}  // namespace fusee::ops

int main(int argc, char** argv) {
  constexpr size_t kConfigurationsDefault = 160;
  const std::string_view filter = argc > 1 ? argv[1] : "";
  const std::string_view tactic = argc > 2 ? argv[2] : "";
  const size_t configurations =
      argc > 3 ? static_cast<size_t>(std::strtoul(argv[3], nullptr, 10)) : kConfigurationsDefault;
  const fusee::Status status = fusee::ops::Main(filter, tactic, configurations);
  if (status.ok()) return 0;
  fmt::print(stderr, "nn_cuda_bench: {}\n", status.ToString());
  return 1;
}
