// Fast attention: keys and values of one head packed into panels for the register tiles, then
// blocks of query rows whose scores stay in the first-level cache between both products.
//
// A unit of work is some query blocks of one head of one batch item. Scores are whole rows, not
// running sums: each score is one chain of multiply-adds over the head's columns, each result one
// over the keys, ascending, and softmax reduces over fixed lanes. So a row's bits depend neither on
// the blocking nor on the number of threads, the instruction set or the row's place in the batch.
// f16 and bf16 are widened to f32 while packing.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked_math.h"
#include "ops/nn/attention.h"
#include "ops/nn/gemm_block.h"
#include "ops/norm/lanes.h"
#include "tensor/math_inline.h"

namespace fusee::ops {

namespace {

constexpr int64_t kQueryBlock = 48;  // a multiple of every tile's rows
constexpr int64_t kMaxLanes = 64;    // units at once; each lane has its own packed head
constexpr float kLowest = -std::numeric_limits<float>::infinity();

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

template <typename T>
[[gnu::always_inline]] inline float Widen(T value) {
  return static_cast<float>(value);
}

// Parts of a lane's memory, in floats; each a multiple of 16.
struct Slice {
  int64_t keys = 0, values = 0, scores = 0, queries = 0, results = 0, bias = 0;
  // At least 16, so that there is always a lane's memory to count.
  int64_t floats() const {
    return std::max<int64_t>(keys + values + scores + queries + results + bias, 16);
  }
};

// Pointers into a lane's memory.
struct Lane {
  float *keys, *values, *scores, *queries, *results, *bias;
  Lane(float* memory, const Slice& s)
      : keys(memory),
        values(keys + s.keys),
        scores(values + s.values),
        queries(scores + s.scores),
        results(queries + s.queries),
        bias(results + s.results) {}
};

// scores = exp(scale * scores + bias - their maximum); returns their sum. step: 0 or 1.
float Softmax(float* scores, int64_t n, float scale, const float* bias, int64_t step) {
  if (bias == nullptr) {
    for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale;
  } else if (step == 0) {
    const float add = *bias;
    for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale + add;
  } else {
    FUSEE_INDEPENDENT_LOOP
    for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] * scale + bias[j];
  }
  const float max = ReduceLanes(
      n, kLowest, [scores](float a, int64_t j) { return MaxOrNan(a, scores[j]); }, MaxOrNan);
  for (int64_t j = 0; j < n; ++j) scores[j] = math::ExpF(scores[j] - max);
  return ReduceLanes(
      n, 0, [scores](float a, int64_t j) { return a + scores[j]; }, Add);
}

class AttentionCpu final : public BoundKernel {
 public:
  AttentionCpu(const GemmTile& tile, AttentionParams params) : tile_(tile), params_(params) {}

  size_t workspace_bytes() const override { return workspace_bytes_; }

  Status SizeWorkspace(const StepSpec& spec) {
    const Shape& q = spec.inputs[0].max_shape;
    AttentionShape s;
    FUSEE_TRY(AttentionGeometry(params_, q, params_.packed ? q : spec.inputs[1].max_shape,
                                params_.packed ? q : spec.inputs[2].max_shape, &s));
    Slice slice;
    int64_t bytes = 0;
    if (!SliceOf(s, &slice)) return ResourceExhausted("the workspace does not fit in memory");
    const int64_t dims[] = {slice.floats(), std::clamp<int64_t>(Units(s, kMaxLanes), 1, kMaxLanes),
                            4};
    if (!CheckedProduct(dims, &bytes) || bytes >= (int64_t{1} << 40))
      return ResourceExhausted("the workspace does not fit in memory");
    slice_floats_ = slice.floats();
    workspace_bytes_ = static_cast<size_t>(bytes);
    return OkStatus();
  }

  Status CheckShapes(const RunArgs& args) const override {
    AttentionShape s;
    Slice slice;
    FUSEE_TRY(CheckAttention(params_, args, &s));
    if (!SliceOf(s, &slice) || slice.floats() > slice_floats_) {
      return OutOfRange(
          "FusedAttention: shapes above the profile that the workspace was sized for");
    }
    return OkStatus();
  }

  Status Run(const RunArgs& args) const override {
    AttentionShape s;
    FUSEE_TRY(CheckAttention(params_, args, &s));
    switch (params_.dtype) {
      case DType::kF16: return RunTyped<Half>(args, s);
      case DType::kBF16: return RunTyped<BFloat16>(args, s);
      default: return RunTyped<float>(args, s);
    }
  }

 private:
  // Into how many units the query blocks of one head are cut: each packs keys and values again, so
  // no more than it takes to occupy `width` threads.
  static int64_t Parts(const AttentionShape& s, int64_t width) {
    const int64_t blocks = (s.seq_q + kQueryBlock - 1) / kQueryBlock;
    const int64_t heads = std::max<int64_t>(s.batch * s.heads, 1);
    return std::clamp<int64_t>((2 * width + heads - 1) / heads, 1, std::max<int64_t>(blocks, 1));
  }
  static int64_t Units(const AttentionShape& s, int64_t width) {
    if (s.batch == 0 || s.seq_q == 0) return 0;
    return s.batch * s.heads * Parts(s, width);
  }

  // False when it does not fit in 64 bits.
  bool SliceOf(const AttentionShape& s, Slice* slice) const {
    constexpr int64_t kLimit = int64_t{1} << 31;
    if (s.seq_k >= kLimit || s.dim >= kLimit || s.dim_v >= kLimit) return false;
    const bool narrow = params_.dtype != DType::kF32;
    const int64_t keys = RoundUp(s.seq_k, tile_.columns);
    const int64_t values = RoundUp(s.dim_v, tile_.columns);
    if (!CheckedMul(keys, s.dim, &slice->keys) || !CheckedMul(values, s.seq_k, &slice->values))
      return false;
    slice->scores = kQueryBlock * keys;
    slice->queries = narrow ? kQueryBlock * RoundUp(s.dim, 16) : 0;
    slice->results = narrow ? kQueryBlock * values : 0;
    const bool other_bias =
        params_.bias_dtype != DType::kInvalid && params_.bias_dtype != DType::kF32;
    slice->bias = other_bias ? keys : 0;
    return slice->keys < (int64_t{1} << 40) && slice->values < (int64_t{1} << 40);
  }

  template <typename T>
  Status RunTyped(const RunArgs& args, const AttentionShape& s) const {
    if (s.batch == 0 || s.seq_q == 0) return OkStatus();
    Slice slice;
    if (!SliceOf(s, &slice)) return Internal("FusedAttention: run without CheckShapes");
    const int64_t parts = Parts(s, args.parallel->width());
    const int64_t units = s.batch * s.heads * parts;
    const int64_t memory = static_cast<int64_t>(workspace_bytes_) / 4 / slice_floats_;
    const int64_t lanes = std::min({units, memory, kMaxLanes, int64_t{4} * args.parallel->width()});
    args.parallel->Run(lanes, [&](int64_t lane) {
      const Lane buffers(reinterpret_cast<float*>(args.workspace.data()) + lane * slice_floats_,
                         slice);
      for (int64_t unit = lane; unit < units; unit += lanes) {
        const int64_t head = unit / parts;
        Unit<T>(args, s, head / s.heads, head % s.heads, unit % parts, parts, buffers);
      }
    });
    return OkStatus();
  }

  template <typename T>
  void Unit(const RunArgs& args, const AttentionShape& s, int64_t b, int64_t h, int64_t part,
            int64_t parts, const Lane& lane) const {
    PackKeys<T>(args, s, b, h, lane.keys);
    PackValues<T>(args, s, b, h, lane.values);
    const int64_t blocks = (s.seq_q + kQueryBlock - 1) / kQueryBlock;
    for (int64_t block = blocks * part / parts; block < blocks * (part + 1) / parts; ++block) {
      const int64_t first = block * kQueryBlock;
      Queries<T>(args, s, b, h, first, std::min(kQueryBlock, s.seq_q - first), lane);
    }
  }

  // Panel p holds keys [p * columns, ...) side by side for each of the head's columns; keys beyond
  // the last are 0.
  template <typename T>
  void PackKeys(const RunArgs& args, const AttentionShape& s, int64_t b, int64_t h,
                float* out) const {
    const T* k = args.inputs[params_.packed ? 0 : 1].as<T>() + s.Key(b, h, 0);
    for (int64_t first = 0; first < s.seq_k; first += tile_.columns) {
      const int64_t count = std::min<int64_t>(tile_.columns, s.seq_k - first);
      float* panel = out + first * s.dim;
      if (count < tile_.columns)
        std::memset(panel, 0, static_cast<size_t>(s.dim * tile_.columns) * sizeof(float));
      for (int64_t d = 0; d < s.dim; ++d) {
        for (int64_t j = 0; j < count; ++j)
          panel[d * tile_.columns + j] = Widen(k[(first + j) * s.k_row + d]);
      }
    }
  }

  template <typename T>
  void PackValues(const RunArgs& args, const AttentionShape& s, int64_t b, int64_t h,
                  float* out) const {
    const T* v = args.inputs[params_.packed ? 0 : 2].as<T>() + s.ValueAt(b, h, 0);
    for (int64_t first = 0; first < s.dim_v; first += tile_.columns) {
      const int64_t count = std::min<int64_t>(tile_.columns, s.dim_v - first);
      for (int64_t j = 0; j < s.seq_k; ++j, out += tile_.columns) {
        for (int64_t d = 0; d < count; ++d) out[d] = Widen(v[j * s.v_row + first + d]);
        for (int64_t d = count; d < tile_.columns; ++d) out[d] = 0;
      }
    }
  }

  // Query rows [first, first + rows) of one head.
  template <typename T>
  void Queries(const RunArgs& args, const AttentionShape& s, int64_t b, int64_t h, int64_t first,
               int64_t rows, const Lane& lane) const {
    const T* q = args.inputs[0].as<T>() + s.Query(b, h, first);
    const float* queries = lane.queries;
    int64_t stride = RoundUp(s.dim, 16);
    if constexpr (std::is_same_v<T, float>) {
      queries = q;
      stride = s.q_row;
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t d = 0; d < s.dim; ++d)
          lane.queries[i * stride + d] = Widen(q[i * s.q_row + d]);
      }
    }
    const int64_t keys = RoundUp(s.seq_k, tile_.columns);
    for (int64_t p = 0; p < keys; p += tile_.columns) {
      MultiplyPanel(tile_, rows, tile_.columns, s.dim, queries, stride, lane.keys + p * s.dim,
                    lane.scores + p, keys, false, nullptr, 0, 0);
    }
    float sums[kQueryBlock];
    for (int64_t i = 0; i < rows; ++i) {
      const float* bias = BiasRow(args, s, s.Bias(b, h, first + i), lane);
      sums[i] = Softmax(lane.scores + i * keys, s.seq_k, static_cast<float>(params_.scale), bias,
                        s.bias[3]);
    }
    T* y = args.outputs[0].as<T>() + s.Result(b, h, first);
    const int64_t y_stride = s.heads * s.dim_v;
    if constexpr (std::is_same_v<T, float>) {
      Weigh(s, rows, keys, lane, y, y_stride);
    } else {
      Weigh(s, rows, keys, lane, lane.results, RoundUp(s.dim_v, tile_.columns));
    }
    Normalise(s, rows, sums, lane, y, y_stride);
  }

  // A row of the bias as floats, or null.
  const float* BiasRow(const RunArgs& args, const AttentionShape& s, int64_t at,
                       const Lane& lane) const {
    if (params_.bias_dtype == DType::kInvalid) return nullptr;
    if (params_.bias_dtype == DType::kF32) return args.inputs[3].as<float>() + at;
    const int64_t count = s.bias[3] == 0 ? 1 : s.seq_k;
    for (int64_t j = 0; j < count; ++j)
      lane.bias[j] = static_cast<float>(DoubleAt(args.inputs[3], at + j));
    return lane.bias;
  }

  // y = weights times values, not yet divided by their sum.
  void Weigh(const AttentionShape& s, int64_t rows, int64_t keys, const Lane& lane, float* y,
             int64_t y_stride) const {
    for (int64_t k = 0; k == 0 || k < s.seq_k; k += kDepthBlock) {
      const int64_t depth = std::min(kDepthBlock, s.seq_k - k);
      for (int64_t d = 0; d < s.dim_v; d += tile_.columns) {
        MultiplyPanel(tile_, rows, std::min<int64_t>(tile_.columns, s.dim_v - d), depth,
                      lane.scores + k, keys, lane.values + d * s.seq_k + k * tile_.columns, y + d,
                      y_stride, k > 0, nullptr, 0, 0);
      }
    }
  }

  template <typename T>
  void Normalise(const AttentionShape& s, int64_t rows, const float* sums, const Lane& lane, T* y,
                 int64_t y_stride) const {
    const int64_t width = RoundUp(s.dim_v, tile_.columns);
    for (int64_t i = 0; i < rows; ++i, y += y_stride) {
      // Without keys there is nothing to divide, and y is 0 already.
      const float sum = s.seq_k == 0 ? 1.0f : sums[i];
      const bool zero = params_.zero_nan_rows && sum != sum;
      for (int64_t d = 0; d < s.dim_v; ++d) {
        if constexpr (std::is_same_v<T, float>) {
          y[d] = zero ? 0.0f : y[d] / sum;
        } else {
          y[d] = T(zero ? 0.0f : lane.results[i * width + d] / sum);
        }
      }
    }
  }

  const GemmTile& tile_;
  AttentionParams params_;
  int64_t slice_floats_ = 16;
  size_t workspace_bytes_ = 0;
};

Result<std::unique_ptr<BoundKernel>> Bind(const GemmTile& tile, const StepSpec& spec) {
  FUSEE_TRY(AttentionParams params, ParseAttention(spec));
  if (params.dtype == DType::kF64) return RefuseTactic(spec, "takes f32, f16 and bf16 only");
  if (params.bias_dtype == DType::kF64) return RefuseTactic(spec, "takes no f64 bias");
  auto kernel = std::make_unique<AttentionCpu>(tile, params);
  const Status sized = kernel->SizeWorkspace(spec);
  if (!sized.ok()) return RefuseTactic(spec, sized.message());
  return std::unique_ptr<BoundKernel>(std::move(kernel));
}

Result<std::unique_ptr<BoundKernel>> BindAvx2(const StepSpec& spec) {
  return Bind(kGemmTileAvx2, spec);
}
Result<std::unique_ptr<BoundKernel>> BindAvx512(const StepSpec& spec) {
  return Bind(kGemmTileAvx512, spec);
}

}  // namespace

extern const KernelDef attention_avx2 = {
    .id = "attention_avx2.1", .op = "FusedAttention", .isa = Isa::kAvx2, .bind = BindAvx2};
extern const KernelDef attention_avx512 = {
    .id = "attention_avx512.1", .op = "FusedAttention", .isa = Isa::kAvx512, .bind = BindAvx512};

}  // namespace fusee::ops
