// MatMul and Gemm on tensor cores: f16 and bf16, any shape, every epilogue (matmul_mma_cuda.cuh).
//
// Floor: the larger of bytes over bandwidth and operations over the tensor cores' rate. For
// BERT-base at 128 tokens, 128 x 768 x 768 in f16 reads 1.4 MB: 0.3 us on an H200; expected are 2.5
// to 3 us, of which about 1 is the way of the first bytes and the rest traffic between L2 and the
// multiprocessors, of which 96 tiles of 32 x 32 use 96. mma.sync reaches about 60 % of what wgmma
// does on sm_90: large products belong to cuBLASLt.
//
// A configuration names a tile variant. Without one, each run chooses by a cost model from its
// shape and the device: among variants that do not split k, which all give the same bits.
#include <algorithm>
#include <cstring>
#include <string>

#include "ops/nn/matmul_mma_cuda.h"

namespace fusee::ops {
namespace {

// Rates of the cost model, for one multiprocessor and nanosecond; measured on an H200 they need not
// be exact: near ties differ little.
constexpr double kL2BytesPerNs = 5500;         // of all multiprocessors together
constexpr double kSmBytesPerNs = 70;           // the most that one takes in
constexpr double kFlopsPerNs = 4000;           // mma.sync on one multiprocessor
constexpr double kLatencyNs = 1000;            // of a tile's first bytes
constexpr double kTileEndNs = 200;             // sums through shared memory to the result
constexpr int kMultiprocessors = 132;          // before LoadOnDevice
constexpr uint32_t kConfigMagic = 0x314D4D46;  // "FMM1"

struct MmaConfig {
  uint32_t magic = kConfigMagic;
  uint32_t tile = 0;
};

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t TilesOf(const MmaTile& t, const MatMulShape& s) {
  return s.batches * DivideUp(s.m, t.rows) * DivideUp(s.n, t.columns);
}

double CostNs(const MmaTile& t, const MatMulShape& s, int multiprocessors) {
  const double tiles = static_cast<double>(TilesOf(t, s));
  const double rounds = static_cast<double>(DivideUp(TilesOf(t, s), multiprocessors));
  const double depth = static_cast<double>(DivideUp(s.k, t.depth) * t.depth);
  const double bytes = 2.0 * (t.rows + t.columns) * depth;
  const double flops = 2.0 * t.rows * t.columns * depth;
  const double rate =
      std::min(kSmBytesPerNs, kL2BytesPerNs / std::min<double>(tiles, multiprocessors));
  return kLatencyNs + rounds * (kTileEndNs + std::max(bytes / rate, flops / kFlopsPerNs));
}

// The cheapest variant; the first of equals. `allowed` says which fit the device.
template <size_t kCount>
size_t ChooseTile(const MmaTile (&tiles)[kCount], const MatMulShape& s, int multiprocessors,
                  uint32_t allowed) {
  size_t best = kCount;
  double best_cost = 0;
  for (size_t i = 0; i < kCount; ++i) {
    if (tiles[i].split != 1 || (allowed >> i & 1) == 0) continue;
    const double cost = CostNs(tiles[i], s, multiprocessors);
    if (best == kCount || cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

// Whether the shape lets a and b be read 16 bytes at a time.
bool MayBeAligned(const MatMulParams& params, const MatMulShape& s) {
  return !params.trans_a && s.k % 8 == 0 && (params.trans_b || s.n % 8 == 0);
}

class MatMulMma final : public BoundKernel {
 public:
  // tile: kMmaTileCount to choose in each run.
  MatMulMma(MatMulParams params, size_t tile, bool b_is_constant)
      : params_(params), tile_(tile), b_is_constant_(b_is_constant) {}

  Status LoadOnDevice(Device& device) override {
    if (params_.dtype == DType::kF16) return Load<__half>(device);
    return Load<__nv_bfloat16>(device);
  }
  Status CheckShapes(const RunArgs& args) const override {
    FUSEE_TRY(CheckMatMulCuda(params_, args));
    MatMulShape s;
    FUSEE_TRY(MatMulGeometryCuda(params_, args, &s));
    // The smallest tiles, in the widest cluster, still make a grid.
    constexpr int64_t kTileEdgeMin = 16, kSplitMax = 8;
    const double blocks = static_cast<double>(s.batches) *
                          static_cast<double>(DivideUp(s.m, kTileEdgeMin)) *
                          static_cast<double>(DivideUp(s.n, kTileEdgeMin)) * kSplitMax;
    if (blocks > static_cast<double>(kCudaMatMulSizeMax))
      return OutOfRange("MatMul: the result has more tiles than one launch can have");
    return OkStatus();
  }
  Status Run(const RunArgs& args) const override {
    if (params_.dtype == DType::kF16) return Launch<__half>(args);
    return Launch<__nv_bfloat16>(args);
  }

 private:
  // Gives each kernel that a run may choose its shared memory, which also loads its code.
  template <typename T>
  Status Load(Device& device) {
    multiprocessors_ = std::max(device.info().multiprocessors, 1);
    int shared_max = 0;
    FUSEE_CUDA_TRY(cudaDeviceGetAttribute(&shared_max, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                          device.info().ordinal));
    const MmaKernels<T>& kernels = MmaKernelsOf<T>();
    allowed_ = 0;
    for (size_t i = 0; i < kMmaTileCount; ++i) {
      const bool wanted = tile_ == kMmaTileCount ? kMmaTiles[i].split == 1 : tile_ == i;
      const int bytes = kMmaTiles[i].shared_bytes(params_.trans_b);
      const bool fits = bytes <= shared_max &&
                        (kMmaTiles[i].split == 1 || device.info().compute_capability >= 90);
      if (!wanted) continue;
      if (!fits && tile_ == i)
        return FailedPrecondition("matmul_mma_cuda: tile " + std::to_string(i) +
                                  " does not run on " + device.info().name +
                                  "; build the plan on this device");
      if (!fits) continue;
      FUSEE_CUDA_TRY(
          cudaFuncSetAttribute(params_.trans_b ? kernels.transposed[i] : kernels.plain[i],
                               cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
      allowed_ |= 1u << i;
    }
    for (size_t i = 0; i < kMmaStridedTileCount; ++i)
      FUSEE_CUDA_TRY(cudaFuncSetAttribute(kernels.strided[i],
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          kMmaStridedTiles[i].shared_bytes(false)));
    return OkStatus();
  }

  bool Aligned(const RunArgs& args, const MatMulShape& s) const {
    return MayBeAligned(params_, s) && cuda::IsPackAligned(args.inputs[0].data) &&
           cuda::IsPackAligned(args.inputs[1].data);
  }

  template <typename T>
  Status Launch(const RunArgs& args) const {
    MatMulShape s;
    FUSEE_TRY(MatMulGeometryCuda(params_, args, &s));
    if (s.m == 0 || s.n == 0 || s.batches == 0) return OkStatus();
    const MmaKernels<T>& kernels = MmaKernelsOf<T>();
    const bool aligned = Aligned(args, s);
    const bool transposed = aligned && params_.trans_b;
    size_t choice = 0;
    if (!aligned)
      choice = ChooseTile(kMmaStridedTiles, s, multiprocessors_, ~0u);
    else
      choice =
          tile_ != kMmaTileCount ? tile_ : ChooseTile(kMmaTiles, s, multiprocessors_, allowed_);
    if (choice >= (aligned ? kMmaTileCount : kMmaStridedTileCount))
      return FailedPrecondition("matmul_mma_cuda: run before LoadOnDevice");
    const MmaTile& tile = aligned ? kMmaTiles[choice] : kMmaStridedTiles[choice];
    const MmaKernel<T> kernel = !aligned     ? kernels.strided[choice]
                                : transposed ? kernels.transposed[choice]
                                             : kernels.plain[choice];
    MmaArgs<T> k;
    k.a = static_cast<const T*>(args.inputs[0].data);
    k.b = static_cast<const T*>(args.inputs[1].data);
    k.y = static_cast<T*>(args.outputs[0].data);
    k.m = static_cast<int>(s.m);
    k.n = static_cast<int>(s.n);
    k.k = static_cast<int>(s.k);
    k.tiles_m = static_cast<int>(DivideUp(s.m, tile.rows));
    k.tiles_n = static_cast<int>(DivideUp(s.n, tile.columns));
    k.a_row = s.a_row;
    k.a_col = s.a_col;
    k.b_row = s.b_row;
    k.b_col = s.b_col;
    k.batch = BatchStrides(s);
    k.epilogue = MakeEpilogueCuda<T>(params_, s, args, &k.vector_epilogue);
    k.b_is_constant = b_is_constant_;
    const unsigned split = static_cast<unsigned>(tile.split);
    return cuda::LaunchClusters(kernel, dim3(static_cast<unsigned>(TilesOf(tile, s)) * split),
                                dim3(static_cast<unsigned>(tile.threads())), split,
                                static_cast<size_t>(tile.shared_bytes(transposed)), args.queue, k);
  }

  const MatMulParams params_;
  const size_t tile_;
  const bool b_is_constant_;
  int multiprocessors_ = kMultiprocessors;
  uint32_t allowed_ = 0;
};

Status CheckTypes(const StepSpec& spec, const MatMulParams& params) {
  bool same = spec.inputs[1].dtype == params.dtype && spec.outputs[0].dtype == params.dtype;
  if (spec.has_input(2)) same = same && spec.inputs[2].dtype == params.dtype;
  return same ? OkStatus() : BadStep(spec, "b, c and the result should be of a's type");
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const MatMulParams params, ParseMatMul(spec));
  if (params.dtype != DType::kF16 && params.dtype != DType::kBF16)
    return RefuseTactic(spec, "takes f16 and bf16");
  FUSEE_TRY(CheckTypes(spec, params));
  size_t tile = kMmaTileCount;
  if (!spec.config.empty()) {
    MmaConfig config;
    if (spec.config.size() != sizeof(config))
      return BadStep(spec, "the configuration is not of matmul_mma_cuda");
    std::memcpy(&config, spec.config.data(), sizeof(config));
    if (config.magic != kConfigMagic || config.tile >= kMmaTileCount)
      return BadStep(spec, "the configuration is not of matmul_mma_cuda");
    tile = config.tile;
  }
  return std::unique_ptr<BoundKernel>(
      std::make_unique<MatMulMma>(params, tile, spec.inputs[1].data != nullptr));
}

std::string TileName(const MmaTile& t) {
  std::string name = t.split > 1 ? "splitk " + std::to_string(t.split) + " tile " : "tile ";
  return name + std::to_string(t.rows) + "x" + std::to_string(t.columns) + "x" +
         std::to_string(t.depth) + " stages " + std::to_string(t.stages);
}

// Every variant that could be the fastest for these shapes: those within kCostRange of the model's
// best, and splits of a k that is long enough.
Result<std::vector<Configuration>> Configurations(const StepSpec& spec, Device& device) {
  constexpr double kCostRange = 3;
  constexpr int64_t kSplitTilesMin = 2;  // tiles of depth for each part
  FUSEE_TRY(const MatMulParams params, ParseMatMul(spec));
  if (params.dtype != DType::kF16 && params.dtype != DType::kBF16)
    return RefuseTactic(spec, "takes f16 and bf16");
  MatMulShape s;
  Shape out;
  FUSEE_TRY(MatMulGeometry(params, spec.inputs[0].max_shape, spec.inputs[1].max_shape,
                           ConstTensorView(), &s, &out));
  if (!params.gemm && spec.inputs[1].max_shape.rank() <= 2) {
    s.m *= s.batches;
    s.batches = 1;
  }
  const int multiprocessors = std::max(device.info().multiprocessors, 1);
  const size_t first = ChooseTile(kMmaTiles, s, multiprocessors, ~0u);
  const double best = CostNs(kMmaTiles[first], s, multiprocessors);
  std::vector<Configuration> list;
  for (size_t n = 0; n <= kMmaTileCount; ++n) {
    const size_t i = n == 0 ? first : n - 1;
    // Operands that cannot be read 16 bytes at a time have their own tiles, whatever is chosen.
    if (n > 0 && (i == first || !MayBeAligned(params, s))) continue;
    const MmaTile& t = kMmaTiles[i];
    if (CostNs(t, s, multiprocessors) > kCostRange * best && t.split == 1) continue;
    if (t.split > 1 && (device.info().compute_capability < 90 || TilesOf(t, s) > multiprocessors ||
                        DivideUp(s.k, t.depth) < kSplitTilesMin * t.split))
      continue;
    const MmaConfig config{.tile = static_cast<uint32_t>(i)};
    Configuration c;
    c.name = TileName(t);
    c.bytes.resize(sizeof(config));
    std::memcpy(c.bytes.data(), &config, sizeof(config));
    list.push_back(std::move(c));
  }
  return list;
}

}  // namespace

extern const KernelDef matmul_mma_cuda = {.id = "matmul_mma_cuda.1",
                                          .op = "MatMul",
                                          .device = DeviceKind::kCuda,
                                          .compute_capability = 80,
                                          .bind = &Bind,
                                          .configurations = &Configurations};
extern const KernelDef gemm_mma_cuda = {.id = "gemm_mma_cuda.1",
                                        .op = "Gemm",
                                        .device = DeviceKind::kCuda,
                                        .compute_capability = 80,
                                        .bind = &Bind,
                                        .configurations = &Configurations};

}  // namespace fusee::ops
