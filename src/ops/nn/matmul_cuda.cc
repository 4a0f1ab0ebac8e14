#include "ops/nn/matmul_cuda.h"

#include <fmt/format.h>

namespace fusee::ops {
namespace {

// One b for all batches and a contiguous: the batches are more rows of one product.
bool FoldsIntoRows(const MatMulParams& params, const RunArgs& args, const MatMulShape& s) {
  return !params.gemm && args.inputs[1].shape.rank() <= 2 && s.batch_rank > 0;
}

// Dimensions of size 1 go; two whose strides continue each other in a and b become one.
void MergeBatches(MatMulShape* s) {
  int rank = 0;
  for (int i = 0; i < s->batch_rank; ++i) {
    const size_t from = static_cast<size_t>(i);
    if (s->batch_dims[from] == 1) continue;
    const int64_t size = s->batch_dims[from];
    if (rank > 0) {
      const size_t last = static_cast<size_t>(rank - 1);
      if (s->a_batch[last] == size * s->a_batch[from] &&
          s->b_batch[last] == size * s->b_batch[from]) {
        s->batch_dims[last] *= size;
        s->a_batch[last] = s->a_batch[from];
        s->b_batch[last] = s->b_batch[from];
        continue;
      }
    }
    const size_t to = static_cast<size_t>(rank++);
    s->batch_dims[to] = size;
    s->a_batch[to] = s->a_batch[from];
    s->b_batch[to] = s->b_batch[from];
  }
  s->batch_rank = rank;
}

}  // namespace

Status MatMulGeometryCuda(const MatMulParams& params, const RunArgs& args, MatMulShape* s) {
  Shape out;
  FUSEE_TRY(MatMulGeometry(params, args.inputs[0].shape, args.inputs[1].shape,
                           args.has_input(2) ? args.inputs[2] : ConstTensorView(), s, &out));
  if (FoldsIntoRows(params, args, *s)) {
    s->m *= s->batches;
    s->batches = 1;
    s->batch_rank = 0;
  }
  MergeBatches(s);
  for (int64_t size : {s->m, s->n, s->k, s->batches}) {
    if (size > kCudaMatMulSizeMax)
      return OutOfRange(fmt::format("{}: {} by {} by {} in {} batches, expected sizes up to {}",
                                    params.gemm ? "Gemm" : "MatMul", s->m, s->n, s->k, s->batches,
                                    kCudaMatMulSizeMax));
  }
  return OkStatus();
}

Status CheckMatMulCuda(const MatMulParams& params, const RunArgs& args) {
  FUSEE_TRY(CheckMatMul(params, args));
  MatMulShape s;
  return MatMulGeometryCuda(params, args, &s);
}

BatchStridesCuda BatchStrides(const MatMulShape& s) {
  BatchStridesCuda strides;
  strides.rank = s.batch_rank;
  for (int i = 0; i < s.batch_rank; ++i) {
    const size_t d = static_cast<size_t>(i);
    strides.dims[i] = s.batch_dims[d];
    strides.a[i] = s.a_batch[d];
    strides.b[i] = s.b_batch[d];
  }
  return strides;
}

}  // namespace fusee::ops
