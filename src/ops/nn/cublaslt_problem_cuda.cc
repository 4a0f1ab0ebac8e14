#include "ops/nn/cublaslt_problem_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/checked_math.h"
#include "tensor/tensor.h"

namespace fusee::ops {
namespace {

constexpr size_t kLtWorkspaceAlignment = 256;
static_assert(kLtWorkspaceAlignment % kTensorAlignment == 0);
constexpr int kHeuristicAnswers = 64;
constexpr int kAlgoIdsMax = 64;
constexpr size_t kCapIdsMax = 512;      // tiles or stages that one algorithm may list
constexpr int kSwizzlesMax = 1;         // 0 and 1
constexpr int kCustomOptionsMax = 3;    // of each algorithm, from 0
constexpr int kSearchChecksMax = 8192;  // algorithms put to the library in one search
constexpr size_t kSearchResultsMax = 64;

// One algorithm that the library takes.
struct Found {
  LtConfig config;
  float waves = 0;
};

bool SameAlgo(const LtConfig& a, const LtConfig& b) {
  return std::memcmp(&a.algo, &b.algo, sizeof(a.algo)) == 0;
}

template <typename T>
T AlgoValue(const cuda::CublasLt& lt, const cublasLtMatmulAlgo_t& algo,
            cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value{};
  size_t written = 0;
  if (lt.algo_get(&algo, attribute, &value, sizeof(value), &written) != CUBLAS_STATUS_SUCCESS)
    return T{};
  return value;
}

enum class Split : uint8_t { kNone, kThroughWorkspace, kOther };

Split SplitOf(const cuda::CublasLt& lt, const cublasLtMatmulAlgo_t& algo) {
  const auto parts = AlgoValue<int32_t>(lt, algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  const auto scheme = AlgoValue<uint32_t>(lt, algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
  if (parts == 0 || parts == 1)
    return scheme == CUBLASLT_REDUCTION_SCHEME_NONE ? Split::kNone : Split::kOther;
  return parts > 1 && scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE ? Split::kThroughWorkspace
                                                                       : Split::kOther;
}

std::string NameOf(const cuda::CublasLt& lt, const LtConfig& config) {
  const cublasLtMatmulAlgo_t& a = config.algo;
  const auto parts = AlgoValue<int32_t>(lt, a, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  std::string name =
      fmt::format("algo {} tile {} stages {} inner {} cluster {} swizzle {} option {}",
                  AlgoValue<int32_t>(lt, a, CUBLASLT_ALGO_CONFIG_ID),
                  AlgoValue<uint32_t>(lt, a, CUBLASLT_ALGO_CONFIG_TILE_ID),
                  AlgoValue<uint32_t>(lt, a, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                  AlgoValue<uint16_t>(lt, a, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID),
                  AlgoValue<uint16_t>(lt, a, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
                  AlgoValue<uint32_t>(lt, a, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
                  AlgoValue<uint32_t>(lt, a, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION));
  if ((config.flags & LtConfig::kSplitK) != 0) name = fmt::format("splitk {} {}", parts, name);
  if ((config.flags & LtConfig::kTf32) != 0) name = "tf32 " + name;
  if ((config.flags & LtConfig::kGeluTanhForErf) != 0) name += " gelu_tanh_for_erf";
  return name;
}

cudaDataType_t TypeOf(DType dtype) {
  if (dtype == DType::kF16) return CUDA_R_16F;
  if (dtype == DType::kBF16) return CUDA_R_16BF;
  return CUDA_R_32F;
}

// Sums are f32 always.
cublasComputeType_t ComputeTypeOf(const MatMulParams& params) {
  return params.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

cublasLtEpilogue_t EpilogueOf(const LtProblem& p) {
  switch (p.params.activation.kind) {
    case ActivationKind::kRelu:
      return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case ActivationKind::kGelu:
    case ActivationKind::kGeluTanh:
      return p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default: return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

Status InitLayout(const cuda::CublasLt& lt, const LtProblem& p, int64_t rows, int64_t columns,
                  int64_t ld, int64_t batch_stride, cublasLtMatrixLayoutOpaque_t* layout) {
  FUSEE_CUBLASLT_TRY(lt.layout_init(layout, sizeof(*layout), TypeOf(p.params.dtype),
                                    static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                    ld));
  if (p.shape.batches == 1) return OkStatus();
  const int32_t count = static_cast<int32_t>(p.shape.batches);
  FUSEE_CUBLASLT_TRY(
      lt.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)));
  FUSEE_CUBLASLT_TRY(lt.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                   &batch_stride, sizeof(batch_stride)));
  return OkStatus();
}

// Asks the heuristic. Answers of a kind of reduction that this tree does not take are left out.
Result<std::vector<Found>> Heuristic(const cuda::CublasLt& lt, cublasLtHandle_t handle,
                                     LtDescriptors& d, uint32_t schemes, uint64_t workspace) {
  cublasLtMatmulPreferenceOpaque_t preference;
  FUSEE_CUBLASLT_TRY(lt.preference_init(&preference, sizeof(preference)));
  FUSEE_CUBLASLT_TRY(lt.preference_set(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &workspace, sizeof(workspace)));
  FUSEE_CUBLASLT_TRY(lt.preference_set(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                       &schemes, sizeof(schemes)));
  const uint32_t alignment = kTensorAlignment;
  for (auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    FUSEE_CUBLASLT_TRY(lt.preference_set(&preference, attribute, &alignment, sizeof(alignment)));
  std::vector<cublasLtMatmulHeuristicResult_t> answers(kHeuristicAnswers);
  int count = 0;
  const cublasStatus_t status = lt.heuristic(handle, &d.matmul, &d.a, &d.b, &d.c, &d.d, &preference,
                                             kHeuristicAnswers, answers.data(), &count);
  std::vector<Found> found;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return found;
  FUSEE_CUBLASLT_TRY(status);
  for (int i = 0; i < std::min(count, kHeuristicAnswers); ++i) {
    const auto& answer = answers[static_cast<size_t>(i)];
    const Split split = SplitOf(lt, answer.algo);
    if (answer.state != CUBLAS_STATUS_SUCCESS || answer.workspaceSize > workspace ||
        split == Split::kOther)
      continue;
    LtConfig config;
    config.flags = split == Split::kThroughWorkspace ? LtConfig::kSplitK : 0;
    config.library_version = lt.version;
    config.workspace_bytes = answer.workspaceSize;
    config.algo = answer.algo;
    found.push_back({config, answer.wavesCount});
  }
  return found;
}

std::vector<uint32_t> CapIds(const cuda::CublasLt& lt, const cublasLtMatmulAlgo_t& algo,
                             cublasLtMatmulAlgoCapAttributes_t attribute) {
  std::array<uint32_t, kCapIdsMax> ids{};
  size_t written = 0;
  if (lt.algo_cap(&algo, attribute, ids.data(), sizeof(ids), &written) != CUBLAS_STATUS_SUCCESS ||
      written < sizeof(uint32_t))
    return {0};  // "undefined": the algorithm has one
  return {ids.begin(), ids.begin() + std::min(written / sizeof(uint32_t), kCapIdsMax)};
}

int CapInt(const cuda::CublasLt& lt, const cublasLtMatmulAlgo_t& algo,
           cublasLtMatmulAlgoCapAttributes_t attribute) {
  int32_t value = 0;
  size_t written = 0;
  if (lt.algo_cap(&algo, attribute, &value, sizeof(value), &written) != CUBLAS_STATUS_SUCCESS)
    return 0;
  return value;
}

// Puts algorithm by algorithm to the library, without splits, until a limit is reached.
class Search {
 public:
  Search(const cuda::CublasLt& lt, cublasLtHandle_t handle, LtDescriptors& descriptors)
      : lt_(lt), handle_(handle), d_(descriptors) {}

  std::vector<Found> Run(const MatMulParams& params) {
    const cudaDataType_t type = TypeOf(params.dtype);
    const cublasComputeType_t compute = ComputeTypeOf(params);
    int ids[kAlgoIdsMax] = {};
    int count = 0;
    if (lt_.algo_ids(handle_, compute, CUDA_R_32F, type, type, type, type, kAlgoIdsMax, ids,
                     &count) != CUBLAS_STATUS_SUCCESS)
      return {};
    for (int i = 0; i < std::min(count, kAlgoIdsMax); ++i) {
      cublasLtMatmulAlgo_t algo;
      if (lt_.algo_init(handle_, compute, CUDA_R_32F, type, type, type, type, ids[i], &algo) ==
          CUBLAS_STATUS_SUCCESS)
        Variants(algo);
    }
    // The fewest rounds of blocks first, the fullest of them: most likely the fastest.
    std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      const float rounds_a = std::ceil(a.waves), rounds_b = std::ceil(b.waves);
      return rounds_a != rounds_b ? rounds_a < rounds_b : a.waves > b.waves;
    });
    if (found_.size() > kSearchResultsMax) found_.resize(kSearchResultsMax);
    return std::move(found_);
  }

 private:
  void Variants(const cublasLtMatmulAlgo_t& base) {
    const int swizzles =
        std::min(CapInt(lt_, base, CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT), kSwizzlesMax);
    const int options =
        std::clamp(CapInt(lt_, base, CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX), 0, kCustomOptionsMax);
    for (uint32_t tile : CapIds(lt_, base, CUBLASLT_ALGO_CAP_TILE_IDS)) {
      for (uint32_t stages : CapIds(lt_, base, CUBLASLT_ALGO_CAP_STAGES_IDS)) {
        for (int option = 0; option <= options; ++option) {
          for (int swizzle = 0; swizzle <= swizzles; ++swizzle) {
            if (++checks_ > kSearchChecksMax) return;
            cublasLtMatmulAlgo_t algo = base;
            Set(&algo, CUBLASLT_ALGO_CONFIG_TILE_ID, tile);
            Set(&algo, CUBLASLT_ALGO_CONFIG_STAGES_ID, stages);
            Set(&algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, static_cast<uint32_t>(option));
            Set(&algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, static_cast<uint32_t>(swizzle));
            Try(algo);
          }
        }
      }
    }
  }

  void Set(cublasLtMatmulAlgo_t* algo, cublasLtMatmulAlgoConfigAttributes_t attribute,
           uint32_t value) {
    // A value that the algorithm does not take shows in the check.
    (void)lt_.algo_set(algo, attribute, &value, sizeof(value));
  }

  void Try(const cublasLtMatmulAlgo_t& algo) {
    cublasLtMatmulHeuristicResult_t result{};
    if (lt_.algo_check(handle_, &d_.matmul, &d_.a, &d_.b, &d_.c, &d_.d, &algo, &result) !=
            CUBLAS_STATUS_SUCCESS ||
        result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kLtWorkspaceMax ||
        SplitOf(lt_, algo) != Split::kNone)
      return;
    LtConfig config;
    config.library_version = lt_.version;
    config.workspace_bytes = result.workspaceSize;
    config.algo = algo;
    found_.push_back({config, result.wavesCount});
  }

  const cuda::CublasLt& lt_;
  cublasLtHandle_t handle_;
  LtDescriptors& d_;
  int checks_ = 0;
  std::vector<Found> found_;
};

}  // namespace

Result<LtProblem> MakeLtProblem(const StepSpec& spec) {
  LtProblem p;
  FUSEE_TRY(p.params, ParseMatMul(spec));
  const DType dtype = p.params.dtype;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16)
    return RefuseTactic(spec, "takes f32, f16 and bf16");
  for (const TensorSpec& input : spec.inputs) {
    if (!input.present()) continue;
    if (input.dtype != dtype) return BadStep(spec, "operands should be of a's type");
    if (!input.is_static) return RefuseTactic(spec, "takes static shapes only");
  }
  if (spec.outputs[0].dtype != dtype) return BadStep(spec, "the result should be of a's type");

  std::vector<ConstTensorView> inputs;
  for (const TensorSpec& input : spec.inputs)
    inputs.push_back({input.dtype, input.max_shape, nullptr});
  const RunArgs shapes{.inputs = inputs};
  const Status fits = MatMulGeometryCuda(p.params, shapes, &p.shape);
  if (!fits.ok()) return BadStep(spec, fits.message());
  const MatMulShape& s = p.shape;
  if (s.m == 0 || s.n == 0 || s.k == 0 || s.batches == 0)
    return RefuseTactic(spec, "takes no empty operands");
  if (s.batch_rank > 1) return RefuseTactic(spec, "takes one stride between batches");
  // Measured on one H100 with cuBLASLt 13.1: of other sizes it rounds the sum to halves before bias
  // and residual are added, three units in the last place where they cancel.
  constexpr int64_t kHalves = 8;
  if (dtype != DType::kF32 && (s.n % kHalves != 0 || s.k % kHalves != 0))
    return RefuseTactic(spec, "takes halves in rows and depths of multiples of 8");

  const bool has_c = spec.has_input(2);
  p.bias = has_c && s.c_row == 0 && (s.c_col == 1 || s.n == 1) && p.params.beta == 1;
  const bool c_is_matrix = has_c && s.c_row == s.n && (s.c_col == 1 || s.n == 1) && !p.bias;
  if (has_c && !p.bias && !(c_is_matrix && !spec.has_input(3)))
    return RefuseTactic(spec, "takes c over columns with beta 1, or of the result's shape");
  if (spec.has_input(3)) {
    p.added = 3;
    p.beta = 1;
  } else if (c_is_matrix) {
    p.added = 2;
    p.beta = static_cast<float>(p.params.beta);
  }
  switch (p.params.activation.kind) {
    case ActivationKind::kNone:
    case ActivationKind::kRelu:
    case ActivationKind::kGelu:
    case ActivationKind::kGeluTanh: return p;
    default: return RefuseTactic(spec, "has no such activation");
  }
}

size_t LtWorkspaceBytes(const LtConfig& config) {
  if (config.workspace_bytes == 0) return 0;
  return static_cast<size_t>(config.workspace_bytes) + kLtWorkspaceAlignment - kTensorAlignment;
}

void* AlignedLtWorkspace(void* workspace) {
  const auto address = AlignUp(reinterpret_cast<uintptr_t>(workspace), kLtWorkspaceAlignment);
  return reinterpret_cast<void*>(address);
}

Result<LtConfig> ReadLtConfig(const StepSpec& spec, const LtProblem& problem) {
  LtConfig config;
  if (spec.config.size() != sizeof(config))
    return BadStep(spec, "the configuration is not of cuBLASLt");
  std::memcpy(&config, spec.config.data(), sizeof(config));
  const bool erf = problem.params.activation.kind == ActivationKind::kGelu;
  const bool tanh_for_erf = (config.flags & LtConfig::kGeluTanhForErf) != 0;
  if (config.magic != LtConfig::kMagic ||
      (config.flags & ~(LtConfig::kSplitK | LtConfig::kGeluTanhForErf | LtConfig::kTf32)) != 0 ||
      config.workspace_bytes > kLtWorkspaceMax || config.library_version == 0)
    return BadStep(spec, "the configuration is not of cuBLASLt");
  if (erf != tanh_for_erf || (tanh_for_erf && problem.params.dtype == DType::kF32))
    return BadStep(spec, "the configuration's GELU is not the step's");
  if (((config.flags & LtConfig::kTf32) != 0) != problem.params.tf32)
    return BadStep(spec, "the configuration's use of TF32 is not what the step says");
  return config;
}

Status InitLtDescriptors(const cuda::CublasLt& lt, const LtProblem& p, LtDescriptors* out) {
  const MatMulShape& s = p.shape;
  const bool ta = p.params.trans_a, tb = p.params.trans_b;
  FUSEE_CUBLASLT_TRY(
      lt.desc_init(&out->matmul, sizeof(out->matmul), ComputeTypeOf(p.params), CUDA_R_32F));
  const cublasOperation_t op_a = tb ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_b = ta ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue = EpilogueOf(p);
  FUSEE_CUBLASLT_TRY(lt.desc_set(&out->matmul, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof(op_a)));
  FUSEE_CUBLASLT_TRY(lt.desc_set(&out->matmul, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof(op_b)));
  FUSEE_CUBLASLT_TRY(
      lt.desc_set(&out->matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
  if (p.bias) {
    // Never read: the library looks at its alignment. Each run sets the real one.
    const void* aligned = reinterpret_cast<const void*>(kTensorAlignment);
    FUSEE_CUBLASLT_TRY(
        lt.desc_set(&out->matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &aligned, sizeof(aligned)));
  }
  const int64_t a_stride = s.batch_rank > 0 ? s.a_batch[0] : 0;
  const int64_t b_stride = s.batch_rank > 0 ? s.b_batch[0] : 0;
  FUSEE_TRY(InitLayout(lt, p, tb ? s.k : s.n, tb ? s.n : s.k, tb ? s.k : s.n, b_stride, &out->a));
  FUSEE_TRY(InitLayout(lt, p, ta ? s.m : s.k, ta ? s.k : s.m, ta ? s.m : s.k, a_stride, &out->b));
  FUSEE_TRY(InitLayout(lt, p, s.n, s.m, s.n, s.m * s.n, &out->c));
  return InitLayout(lt, p, s.n, s.m, s.n, s.m * s.n, &out->d);
}

Status CheckLtAlgo(const cuda::CublasLt& lt, cublasLtHandle_t handle, LtDescriptors& d,
                   const LtConfig& config) {
  if (config.library_version != lt.version) {
    return FailedPrecondition(fmt::format(
        "cuBLASLt: the plan was built with version {}, here is {}; build it again, or install {}",
        config.library_version, lt.version, config.library_version));
  }
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      lt.algo_check(handle, &d.matmul, &d.a, &d.b, &d.c, &d.d, &config.algo, &result);
  const Split want =
      (config.flags & LtConfig::kSplitK) != 0 ? Split::kThroughWorkspace : Split::kNone;
  if (status != CUBLAS_STATUS_SUCCESS || result.state != CUBLAS_STATUS_SUCCESS ||
      result.workspaceSize > config.workspace_bytes || SplitOf(lt, config.algo) != want) {
    return FailedPrecondition(
        "cuBLASLt: the plan's algorithm does not run on this GPU; build the plan on it");
  }
  return OkStatus();
}

Result<std::vector<Configuration>> LtConfigurations(const cuda::CublasLt& lt,
                                                    cublasLtHandle_t handle, const LtProblem& p) {
  LtDescriptors d;
  FUSEE_TRY(InitLtDescriptors(lt, p, &d));
  FUSEE_TRY(std::vector<Found> found,
            Heuristic(lt, handle, d, CUBLASLT_REDUCTION_SCHEME_NONE, kLtWorkspaceMax));
  FUSEE_TRY(std::vector<Found> split,
            Heuristic(lt, handle, d, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, kLtWorkspaceMax));
  std::vector<Found> searched = Search(lt, handle, d).Run(p.params);
  std::vector<LtConfig> all;
  for (const auto* list : {&found, &split, &searched}) {
    for (const Found& f : *list) {
      if (std::none_of(all.begin(), all.end(),
                       [&](const LtConfig& known) { return SameAlgo(known, f.config); }))
        all.push_back(f.config);
    }
  }
  std::vector<Configuration> configurations;
  for (LtConfig config : all) {
    if (p.params.activation.kind == ActivationKind::kGelu)
      config.flags |= LtConfig::kGeluTanhForErf;
    if (p.params.tf32) config.flags |= LtConfig::kTf32;
    Configuration c{NameOf(lt, config), std::vector<std::byte>(sizeof(config))};
    std::memcpy(c.bytes.data(), &config, sizeof(config));
    configurations.push_back(std::move(c));
  }
  return configurations;
}

}  // namespace fusee::ops
