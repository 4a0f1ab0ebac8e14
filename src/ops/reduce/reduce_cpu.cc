// f32 reductions whose reduced axes lie next to each other: operand [outer, reduce, inner], result
// [outer, inner]. Accumulates in f32 in a fixed order that depends on shapes alone:
//   inner == 1  kLanes partial results, element i into lane i % kLanes, lanes folded in a fixed
//   tree; inner > 1   down the columns, kColumns at a time, in chunks of kChunk rows whose sums are
//   added.
// Both bound the length of an addition chain, so that error grows with its square root at worst.
//
// A chunk is long on purpose. Adding down the columns row by row is what ONNX Runtime and NumPy do,
// and some models are validated against exactly that rounding: Magika takes a variance as E[x^2] -
// E[x]^2 over 512 rows, where nearly everything cancels and the order of the additions is 4 % of
// the answer. In chunks of 64 rows ours was as right, and another. Traffic: 4 bytes an element, one
// operation; memory bound from L2 outwards.
#include <cmath>
#include <limits>

#include "ops/reduce/reduce.h"

namespace fusee::ops {
namespace {

constexpr int64_t kLanes = 32;    // four AVX2 registers: covers the latency of an addition
constexpr int64_t kColumns = 64;  // eight registers of accumulators
constexpr int64_t kChunk = 1024;

struct Sum {
  static constexpr float kStart = 0;
  static float Step(float acc, float x) { return acc + x; }
  static float Merge(float a, float b) { return a + b; }
  static float Finish(float acc, int64_t) { return acc; }
};
struct Mean : Sum {
  static float Finish(float acc, int64_t n) { return acc / static_cast<float>(n); }
};
struct SumSquare : Sum {
  static float Step(float acc, float x) { return acc + x * x; }
};
struct L2 : SumSquare {
  static float Finish(float acc, int64_t) { return std::sqrt(acc); }
};
// NaN wins, as in the reference: no comparison with it holds.
struct Max {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  static float Step(float acc, float x) { return ((acc >= x) | (acc != acc)) ? acc : x; }
  static float Merge(float a, float b) { return Step(a, b); }
  static float Finish(float acc, int64_t) { return acc; }
};
struct Min {
  static constexpr float kStart = std::numeric_limits<float>::infinity();
  static float Step(float acc, float x) { return ((acc <= x) | (acc != acc)) ? acc : x; }
  static float Merge(float a, float b) { return Step(a, b); }
  static float Finish(float acc, int64_t) { return acc; }
};

template <typename Op>
float ReduceRow(const float* x, int64_t n) {
  float lane[kLanes];
  for (float& l : lane) l = Op::kStart;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lane[l] = Op::Step(lane[l], x[i + l]);
  }
  for (int64_t l = 0; i < n; ++i, ++l) lane[l] = Op::Step(lane[l], x[i]);
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) lane[l] = Op::Merge(lane[l], lane[l + half]);
  }
  return Op::Finish(lane[0], n);
}

// columns <= kColumns; rows are `pitch` elements apart.
template <typename Op>
void ReduceColumns(const float* x, int64_t rows, int64_t pitch, int64_t columns, float* out) {
  float total[kColumns], chunk[kColumns];
  for (float& t : total) t = Op::kStart;
  for (int64_t r0 = 0; r0 < rows; r0 += kChunk) {
    const int64_t r1 = r0 + kChunk < rows ? r0 + kChunk : rows;
    for (float& c : chunk) c = Op::kStart;
    for (int64_t r = r0; r < r1; ++r) {
      const float* row = x + r * pitch;
      for (int64_t c = 0; c < columns; ++c) chunk[c] = Op::Step(chunk[c], row[c]);
    }
    for (int64_t c = 0; c < columns; ++c) total[c] = Op::Merge(total[c], chunk[c]);
  }
  for (int64_t c = 0; c < columns; ++c) out[c] = Op::Finish(total[c], rows);
}

struct Params {
  ReduceParams reduce;
  int first = 0, last = 0;  // reduced axes are [first, last)
};

Status Check(const Params& params, const RunArgs& args) { return CheckReduce(params.reduce, args); }

template <typename Op>
Status Run(const Params& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const int64_t outer = shape.elements(0, params.first);
  const int64_t reduce = shape.elements(params.first, params.last);
  const int64_t inner = shape.elements(params.last, params.reduce.rank);
  const float* in = args.inputs[0].as<float>();
  float* out = args.outputs[0].as<float>();
  const int64_t length = reduce > 0 ? reduce : 1;
  if (inner == 1) {
    ParallelBlocks(args.parallel, outer, kElementsPerTask / length,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t o = begin; o < end; ++o)
                       out[o] = ReduceRow<Op>(in + o * reduce, reduce);
                   });
    return OkStatus();
  }
  const int64_t strips = (inner + kColumns - 1) / kColumns;
  const int64_t grain = kElementsPerTask / (length * kColumns);
  ParallelBlocks(args.parallel, outer * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / strips, c = i % strips * kColumns;
      const int64_t columns = inner - c < kColumns ? inner - c : kColumns;
      ReduceColumns<Op>(in + o * reduce * inner + c, reduce, inner, columns, out + o * inner + c);
    }
  });
  return OkStatus();
}

template <typename Op>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  Params params;
  FUSEE_TRY(params.reduce, ReadReduce(spec));
  if (spec.inputs[0].dtype != DType::kF32) return RefuseTactic(spec, "takes f32 only");
  const auto& reduced = params.reduce.reduced;
  while (params.first < params.reduce.rank && !reduced[static_cast<size_t>(params.first)])
    ++params.first;
  params.last = params.first;
  while (params.last < params.reduce.rank && reduced[static_cast<size_t>(params.last)])
    ++params.last;
  for (int i = params.last; i < params.reduce.rank; ++i) {
    if (reduced[static_cast<size_t>(i)])
      return RefuseTactic(spec, "the reduced axes do not lie side by side");
  }
  return MakeKernel(params, Check, Run<Op>);
}

}  // namespace

extern const KernelDef reduce_sum_cpu = {
    .id = "reduce_sum_f32_cpu.2", .op = "ReduceSum", .bind = Bind<Sum>};
extern const KernelDef reduce_mean_cpu = {
    .id = "reduce_mean_f32_cpu.2", .op = "ReduceMean", .bind = Bind<Mean>};
extern const KernelDef reduce_max_cpu = {
    .id = "reduce_max_f32_cpu.1", .op = "ReduceMax", .bind = Bind<Max>};
extern const KernelDef reduce_min_cpu = {
    .id = "reduce_min_f32_cpu.1", .op = "ReduceMin", .bind = Bind<Min>};
extern const KernelDef reduce_sum_square_cpu = {
    .id = "reduce_sum_square_f32_cpu.2", .op = "ReduceSumSquare", .bind = Bind<SumSquare>};
extern const KernelDef reduce_l2_cpu = {
    .id = "reduce_l2_f32_cpu.2", .op = "ReduceL2", .bind = Bind<L2>};

}  // namespace fusee::ops
