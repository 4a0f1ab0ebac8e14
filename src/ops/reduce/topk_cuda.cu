// TopK of f32, f16, bf16, i32, i8 and u8: a block a line, over entries of 64 bits that order by
// value and then by position, so that sorting them needs nothing stable and gives one answer.
//
//   n <= kBuffer    the line is sorted in shared memory
//   k <= kKeep      the line streams through: the best so far are sorted with the next elements
//   otherwise       the line is sorted in the workspace
//
// Cost: a sort of 2,048 entries is 66 steps of about 60 ns. Floor: the line over the bandwidth of
// one multiprocessor; sorting is far above it, and few networks have more than one TopK.
#include <algorithm>
#include <bit>

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/reduce.cuh"
#include "ops/reduce/pick.h"

namespace fusee::ops {
namespace {

constexpr int kBlock = 512;
constexpr unsigned kBuffer = 2048;
constexpr int64_t kKeep = kBuffer / 2;
constexpr int64_t kMaxLine = int64_t{1}
                             << 30;  // positions fit an entry, sizes of sorts fit 32 bits
// Bounds on the workspace: lines sorted in it at a time, and their bytes unless one needs more.
constexpr int64_t kWorkspaceLines = 64;
constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;

// A number that orders like x, NaN highest.
__device__ __forceinline__ uint32_t KeyOf(float x) {
  if (x != x) return 0xffffffffu;
  const uint32_t bits = x == 0 ? 0u : __float_as_uint(x);  // -0 equals 0
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
template <typename T>
__device__ __forceinline__ uint32_t Key(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<uint32_t>(static_cast<int32_t>(x)) ^ 0x80000000u;
  else
    return KeyOf(cuda::ToFloat(x));
}

// Larger entries come first. 0 stands for no element: no position is 0xffffffff.
template <typename T>
__device__ __forceinline__ uint64_t EntryOf(T x, int64_t at, bool largest) {
  const uint32_t key = Key(x);
  return static_cast<uint64_t>(largest ? key : ~key) << 32 | ~static_cast<uint32_t>(at);
}
__device__ __forceinline__ int64_t PositionOf(uint64_t entry) {
  return static_cast<int64_t>(~static_cast<uint32_t>(entry));
}

// Bitonic, by the whole block; size is a power of two. Entries were written before a barrier.
__device__ void SortDescending(uint64_t* entries, unsigned size) {
  for (uint64_t run = 2; run <= size; run *= 2) {
    for (unsigned apart = static_cast<unsigned>(run / 2); apart > 0; apart /= 2) {
      for (unsigned i = threadIdx.x; i < size / 2; i += kBlock) {
        const unsigned low = ((i & ~(apart - 1)) << 1) | (i & (apart - 1));
        const unsigned high = low | apart;
        const uint64_t a = entries[low], b = entries[high];
        if ((a < b) == ((low & run) == 0)) {
          entries[low] = b;
          entries[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

struct TopKArgs {
  int64_t lines = 0, n = 0, k = 0, inner = 0;
  bool largest = true;
  unsigned size = 0;              // entries sorted at a time
  uint64_t* workspace = nullptr;  // null: entries lie in shared memory
};

template <typename T>
__global__ void __launch_bounds__(kBlock, 1)
    TopKKernel(const T* x, T* values, int64_t* indices, const __grid_constant__ TopKArgs a) {
  __shared__ uint64_t buffer[kBuffer];
  cuda::WaitForPrior();
  cuda::AllowNext();
  uint64_t* entries =
      a.workspace != nullptr ? a.workspace + static_cast<int64_t>(blockIdx.x) * a.size : buffer;
  for (int64_t line = blockIdx.x; line < a.lines; line += gridDim.x) {
    const int64_t outer = line / a.inner, inner = line % a.inner;
    const T* from = x + outer * a.n * a.inner + inner;
    int64_t kept = 0;  // entries [0, kept) are the best of elements [0, next), sorted
    for (int64_t next = 0; next < a.n;) {
      const int64_t room = a.size - kept;
      const int64_t take = a.n - next < room ? a.n - next : room;
      for (int64_t i = threadIdx.x; i < room; i += kBlock) {
        const int64_t at = next + i;
        entries[kept + i] = i < take ? EntryOf(from[at * a.inner], at, a.largest) : 0;
      }
      __syncthreads();
      SortDescending(entries, a.size);
      next += take;
      kept = kept + take < a.k ? kept + take : a.k;
    }
    for (int64_t i = threadIdx.x; i < a.k; i += kBlock) {
      const int64_t at = PositionOf(entries[i]);
      const int64_t to = (outer * a.k + i) * a.inner + inner;
      values[to] = from[at * a.inner];
      indices[to] = at;
    }
    __syncthreads();  // entries are written again for the next line
  }
}

struct Params {
  TopKParams topk;
  int64_t max_n = 0;
  int64_t workspace_lines = 0;  // 0: no workspace
};

bool NeedsWorkspace(int64_t n, int64_t k) { return n > kBuffer && k > kKeep; }
int64_t SortSize(int64_t n) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n)));
}

Status Check(const Params& params, const RunArgs& args) {
  FUSEE_TRY(CheckTopK(params.topk, args));
  const int64_t n = args.inputs[0].shape[params.topk.axis];
  if (n > params.max_n || (NeedsWorkspace(n, args.dims[0]) && params.workspace_lines == 0)) {
    return InvalidArgument("TopK: " + std::to_string(args.dims[0]) + " of " + std::to_string(n) +
                           " elements are more than the kernel was bound for");
  }
  return OkStatus();
}

template <typename T>
Status Run(const Params& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  TopKArgs a;
  a.n = shape[params.topk.axis];
  a.k = args.dims[0];
  a.inner = shape.elements(params.topk.axis + 1, params.topk.rank);
  a.lines = shape.elements(0, params.topk.axis) * a.inner;
  a.largest = params.topk.largest;
  if (a.k == 0 || a.lines == 0) return OkStatus();
  unsigned blocks = cuda::BlocksFor(a.lines, 1);
  if (NeedsWorkspace(a.n, a.k)) {
    a.size = static_cast<unsigned>(SortSize(a.n));
    a.workspace = reinterpret_cast<uint64_t*>(args.workspace.data());
    blocks =
        static_cast<unsigned>(a.lines < params.workspace_lines ? a.lines : params.workspace_lines);
  } else {
    a.size = a.n > kBuffer ? kBuffer : static_cast<unsigned>(SortSize(a.n));
  }
  return cuda::Launch(&TopKKernel<T>, dim3(blocks), dim3(kBlock), 0, args.queue,
                      static_cast<const T*>(args.inputs[0].data),
                      static_cast<T*>(args.outputs[0].data),
                      static_cast<int64_t*>(args.outputs[1].data), a);
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  Params params;
  FUSEE_TRY(params.topk, ReadTopK(spec));
  const int axis = params.topk.axis;
  const Shape &x = spec.inputs[0].max_shape, &y = spec.outputs[0].max_shape;
  params.max_n = x[axis];
  if (params.max_n > kMaxLine) return RefuseTactic(spec, "takes lines of up to 2^30 elements");
  if (y.rank() != x.rank()) return BadStep(spec, "operand and values should be of one rank");
  size_t workspace = 0;
  if (NeedsWorkspace(params.max_n, y[axis])) {
    const int64_t line = SortSize(params.max_n) * static_cast<int64_t>(sizeof(uint64_t));
    params.workspace_lines = std::clamp<int64_t>(kWorkspaceBytes / line, 1, kWorkspaceLines);
    workspace = static_cast<size_t>(params.workspace_lines * line);
  }
  const auto make = [&]<typename T>() { return MakeKernel(params, Check, Run<T>, workspace); };
  const DType dtype = spec.inputs[0].dtype;
  if (cuda::IsComputeFloat(dtype)) return cuda::VisitComputeFloat(dtype, make);
  if (dtype == DType::kI32) return make.template operator()<int32_t>();
  if (dtype == DType::kI8) return make.template operator()<int8_t>();
  if (dtype == DType::kU8) return make.template operator()<uint8_t>();
  return RefuseTactic(spec, "does not take " + std::string(DTypeName(dtype)));
}

}  // namespace

extern const KernelDef topk_cuda = {
    .id = "topk_cuda.1", .op = "TopK", .device = DeviceKind::kCuda, .bind = Bind};

}  // namespace fusee::ops
