// LayerNormalization, RMSNormalization and SkipLayerNormalization on f32, f16 and bf16.
//
// Rows of up to 4,096 elements whose scale and bias lie like the row: a warp (up to 256 elements)
// or a block of 128 threads a row, the row in registers, mean and variance in two passes over them.
// Scale and bias are read before the statistics are known, so that their latency hides behind the
// reductions. Everything else takes a kernel that reads the row again in each pass.
//
// Floor: bytes read and written over the bandwidth. 128 rows of 768 halves are 0.4 MB (0.6 MB with
// skip), 0.1 us: there it is the launch, about 2 us, or 1 us inside a graph.
#include "cuda/float_view.cuh"
#include "ops/norm/norm.h"
#include "ops/norm/rows_cuda.cuh"
#include "ops/norm/skip_norm.h"

namespace fusee::ops {
namespace {

using cuda::AddFloats;
using cuda::FloatSink;
using cuda::FromFloat;
using cuda::ToFloat;
using norm::kLongRowBlock;

enum class RowOp : uint8_t { kLayerNorm, kRmsNorm, kSkipLayerNorm };

template <typename T>
struct RowArgs {
  const T* x = nullptr;
  const T* skip = nullptr;  // of kSkipLayerNorm
  const T* scale = nullptr;
  const T* bias = nullptr;  // may be null
  T* y = nullptr;
  T* sum = nullptr;              // of kSkipLayerNorm, may be null
  FloatSink mean, inv_std;       // of kLayerNorm
  RowOperand scale_at, bias_at;  // read by the long kernel only
  int64_t rows = 0, n = 0;
  float epsilon = 0;
};

template <RowOp op, typename T>
__device__ __forceinline__ float Element(const RowArgs<T>& a, int64_t at) {
  if constexpr (op == RowOp::kSkipLayerNorm) return ToFloat(a.x[at]) + ToFloat(a.skip[at]);
  return ToFloat(a.x[at]);
}

// y may share x's or skip's memory: a thread writes only what it alone has read before.
template <RowOp op, typename Tile>
__global__ void __launch_bounds__(norm::kRowBlock)
    RowKernel(const __grid_constant__ RowArgs<typename Tile::T> a) {
  using T = typename Tile::T;
  __shared__ float slots[norm::kRowBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int n = static_cast<int>(a.n);
  float scale[Tile::kElements], bias[Tile::kElements];
  Tile::Load(a.scale, n, 0.0f, scale);
  if (a.bias != nullptr) {
    Tile::Load(a.bias, n, 0.0f, bias);
  } else {
#pragma unroll
    for (float& b : bias) b = 0;
  }
  for (int64_t row = Tile::FirstRow(); row < a.rows; row += Tile::RowStep()) {
    const int64_t base = row * n;
    float value[Tile::kElements];
    Tile::Load(a.x + base, n, 0.0f, value);
    if constexpr (op == RowOp::kSkipLayerNorm) {
      float skip[Tile::kElements];
      Tile::Load(a.skip + base, n, 0.0f, skip);
#pragma unroll
      for (int k = 0; k < Tile::kElements; ++k) value[k] += skip[k];
    }
    float mean = 0;
    if constexpr (op != RowOp::kRmsNorm) {
#pragma unroll
      for (int k = 0; k < Tile::kElements; ++k) mean += value[k];  // 0 beyond the row
      mean = Tile::Reduce(mean, slots, AddFloats()) / static_cast<float>(n);
    }
    float squares = 0;
    Tile::ForEach(n, [&](int k) {
      const float d = value[k] - mean;
      squares += d * d;
    });
    squares = Tile::Reduce(squares, slots, AddFloats());
    const float inv_std = 1.0f / sqrtf(squares / static_cast<float>(n) + a.epsilon);
    Tile::Store(a.y + base, n,
                [&](int k) { return (value[k] - mean) * inv_std * scale[k] + bias[k]; });
    if constexpr (op == RowOp::kSkipLayerNorm) {
      if (a.sum != nullptr) Tile::Store(a.sum + base, n, [&](int k) { return value[k]; });
    }
    if constexpr (op == RowOp::kLayerNorm) {
      if (threadIdx.x % Tile::kThreads == 0) {
        a.mean.Store(row, mean);
        a.inv_std.Store(row, inv_std);
      }
    }
  }
}

template <RowOp op, typename T>
__global__ void __launch_bounds__(kLongRowBlock, 1)
    LongRowKernel(const __grid_constant__ RowArgs<T> a) {
  __shared__ float slots[kLongRowBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const float size = static_cast<float>(a.n);
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const int64_t base = row * a.n;
    float mean = 0;
    if constexpr (op != RowOp::kRmsNorm) {
      for (int64_t j = threadIdx.x; j < a.n; j += kLongRowBlock) mean += Element<op>(a, base + j);
      mean = cuda::TeamReduce<kLongRowBlock>(mean, slots, AddFloats()) / size;
    }
    float squares = 0;
    for (int64_t j = threadIdx.x; j < a.n; j += kLongRowBlock) {
      const float d = Element<op>(a, base + j) - mean;
      squares += d * d;
    }
    squares = cuda::TeamReduce<kLongRowBlock>(squares, slots, AddFloats());
    const float inv_std = 1.0f / sqrtf(squares / size + a.epsilon);
    for (int64_t j = threadIdx.x; j < a.n; j += kLongRowBlock) {
      const float value = Element<op>(a, base + j);
      float y = (value - mean) * inv_std * ToFloat(a.scale[a.scale_at.Index(j)]);
      if (a.bias != nullptr) y += ToFloat(a.bias[a.bias_at.Index(j)]);
      a.y[base + j] = FromFloat<T>(y);
      if constexpr (op == RowOp::kSkipLayerNorm) {
        if (a.sum != nullptr) a.sum[base + j] = FromFloat<T>(value);
      }
    }
    if constexpr (op == RowOp::kLayerNorm) {
      if (threadIdx.x == 0) {
        a.mean.Store(row, mean);
        a.inv_std.Store(row, inv_std);
      }
    }
  }
}

template <RowOp op, typename T>
Status LaunchRowNorm(const RowArgs<T>& a, void* queue) {
  if (a.n == 0 && a.mean.data == nullptr && a.inv_std.data == nullptr) return OkStatus();
  if (a.n == 0 || a.n > norm::kTileRow || !a.scale_at.contiguous || !a.bias_at.contiguous) {
    return cuda::Launch(&LongRowKernel<op, T>, dim3(cuda::BlocksFor(a.rows, 1)),
                        dim3(kLongRowBlock), 0, queue, a);
  }
  const bool aligned = cuda::IsPackAligned(a.x) && cuda::IsPackAligned(a.skip) &&
                       cuda::IsPackAligned(a.scale) && cuda::IsPackAligned(a.bias) &&
                       cuda::IsPackAligned(a.y) && cuda::IsPackAligned(a.sum);
  return norm::VisitTile<T>(a.n, aligned, [&]<typename Tile>() {
    return norm::LaunchRows<Tile>(&RowKernel<op, Tile>, a.rows, queue, a);
  });
}

// --- LayerNormalization and RMSNormalization ---

Status CheckStatistics(const RowNormParams& params, std::span<const TensorView> outputs) {
  for (size_t i = 1; i < outputs.size(); ++i) {
    if (outputs[i].present() && !cuda::IsComputeFloat(outputs[i].dtype))
      return InvalidArgument(std::string(params.op) + ": statistics should be f32, f16 or bf16");
  }
  return OkStatus();
}

class RowNormCuda final : public BoundKernel {
 public:
  explicit RowNormCuda(RowNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckRowNorm(params_, args));
    return CheckStatistics(params_, args.outputs);
  }
  Status Run(const RunArgs& args) const override {
    return cuda::VisitComputeFloat(params_.dtype, [&]<typename T>() -> Status {
      const Shape& shape = args.inputs[0].shape;
      RowArgs<T> a;
      a.x = static_cast<const T*>(args.inputs[0].data);
      a.scale = static_cast<const T*>(args.inputs[1].data);
      a.scale_at = RowOperandOf(params_, shape, args.inputs[1].shape);
      if (args.has_input(2)) {
        a.bias = static_cast<const T*>(args.inputs[2].data);
        a.bias_at = RowOperandOf(params_, shape, args.inputs[2].shape);
      }
      a.y = static_cast<T*>(args.outputs[0].data);
      if (args.outputs.size() > 1) a.mean = FloatSink(args.outputs[1]);
      if (args.outputs.size() > 2) a.inv_std = FloatSink(args.outputs[2]);
      a.rows = shape.elements(0, params_.axis);
      a.n = shape.elements(params_.axis, shape.rank());
      a.epsilon = static_cast<float>(params_.epsilon);
      return params_.rms ? LaunchRowNorm<RowOp::kRmsNorm>(a, args.queue)
                         : LaunchRowNorm<RowOp::kLayerNorm>(a, args.queue);
    });
  }

 private:
  RowNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(RowNormParams params, ParseRowNorm(spec));
  if (!cuda::IsComputeFloat(params.dtype)) return RefuseTactic(spec, "takes f32, f16 and bf16");
  for (const TensorSpec& output : spec.outputs) {
    if (output.present() && !cuda::IsComputeFloat(output.dtype))
      return RefuseTactic(spec, "gives f32, f16 and bf16");
  }
  return std::unique_ptr<BoundKernel>(new RowNormCuda(params));
}

// --- SkipLayerNormalization ---

class SkipNormCuda final : public BoundKernel {
 public:
  explicit SkipNormCuda(SkipNormParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckSkipNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    return cuda::VisitComputeFloat(params_.dtype, [&]<typename T>() -> Status {
      const Shape& shape = args.inputs[0].shape;
      RowArgs<T> a;
      a.x = static_cast<const T*>(args.inputs[0].data);
      a.skip = static_cast<const T*>(args.inputs[1].data);
      a.scale = static_cast<const T*>(args.inputs[2].data);
      if (args.has_input(3)) a.bias = static_cast<const T*>(args.inputs[3].data);
      a.y = static_cast<T*>(args.outputs[0].data);
      if (WantsSum(args)) a.sum = static_cast<T*>(args.outputs[1].data);
      a.rows = shape.elements(0, params_.rank - 1);
      a.n = shape[params_.rank - 1];
      a.epsilon = static_cast<float>(params_.epsilon);
      return LaunchRowNorm<RowOp::kSkipLayerNorm>(a, args.queue);
    });
  }

 private:
  SkipNormParams params_;
};

Result<std::unique_ptr<BoundKernel>> BindSkip(const StepSpec& spec) {
  FUSEE_TRY(SkipNormParams params, ParseSkipNorm(spec));
  if (!cuda::IsComputeFloat(params.dtype)) return RefuseTactic(spec, "takes f32, f16 and bf16");
  return std::unique_ptr<BoundKernel>(new SkipNormCuda(params));
}

}  // namespace

extern const KernelDef layernorm_cuda = {.id = "layernorm_cuda.1",
                                         .op = "LayerNormalization",
                                         .device = DeviceKind::kCuda,
                                         .in_place_inputs = 1,
                                         .bind = Bind};
extern const KernelDef rmsnorm_cuda = {.id = "rmsnorm_cuda.1",
                                       .op = "RMSNormalization",
                                       .device = DeviceKind::kCuda,
                                       .in_place_inputs = 1,
                                       .bind = Bind};
extern const KernelDef skip_layernorm_cuda = {.id = "skip_layernorm_cuda.1",
                                              .op = "SkipLayerNormalization",
                                              .device = DeviceKind::kCuda,
                                              .in_place_inputs = 3,
                                              .bind = BindSkip};

}  // namespace fusee::ops
