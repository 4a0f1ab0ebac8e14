// Matrix products as their kernels see them. MatMul and Gemm decode into one description:
//
//   y[i, j] = activation(alpha * sum over k of a[i, k] b[k, j] + beta * c[i, j] + residual[i, j])
//
// once per batch, where a, b and c are read through strides, so that transposes and broadcasts are
// strides too. c is operand 2, the residual operand 3: absent, or of exactly the result's shape.
// Both are for floating-point types only, c of Gemm apart.
#pragma once

#include <array>

#include "ops/kernel.h"
#include "ops/nn/activation.h"

namespace fusee::ops {

struct MatMulParams {
  bool gemm = false;  // else MatMul
  bool trans_a = false, trans_b = false;
  double alpha = 1, beta = 1;
  Activation activation;
  DType dtype = DType::kInvalid;
  bool tf32 = false;  // f32 operands may be rounded to TF32 (ops/math_mode.h)
};

struct MatMulShape {
  int64_t m = 0, n = 0, k = 0;
  // Element strides of one matrix: a[i * a_row + k * a_col], b[k * b_row + j * b_col], c[i * c_row
  // + j * c_col].
  int64_t a_row = 0, a_col = 0, b_row = 0, b_col = 0, c_row = 0, c_col = 0;
  // Leading dimensions of the result; `batches` is their product.
  int64_t batches = 1;
  int batch_rank = 0;
  std::array<int64_t, kMaxRank> batch_dims{}, a_batch{},
      b_batch{};  // strides in elements, 0 where broadcast

  // First element of operand a or b for batch i of the result.
  int64_t AOffset(int64_t batch) const { return Offset(batch, a_batch); }
  int64_t BOffset(int64_t batch) const { return Offset(batch, b_batch); }

 private:
  int64_t Offset(int64_t batch, const std::array<int64_t, kMaxRank>& strides) const {
    int64_t offset = 0;
    for (int i = batch_rank - 1; i >= 0; --i) {
      const size_t d = static_cast<size_t>(i);
      offset += batch % batch_dims[d] * strides[d];
      batch /= batch_dims[d];
    }
    return offset;
  }
};

// Decodes and validates a MatMul or Gemm step. Errors: kInvalidArgument.
Result<MatMulParams> ParseMatMul(const StepSpec& spec);

// Derives the description from exact shapes; b may be given by its logical shape when it is packed.
// c is absent when its dtype is kInvalid. `out` gets the shape of the result. Allocates nothing
// when ok. Errors: kInvalidArgument.
Status MatMulGeometry(const MatMulParams& params, const Shape& a, const Shape& b,
                      const ConstTensorView& c, MatMulShape* shape, Shape* out);

// Operand 3, when present, has the result's type and shape. Errors: kInvalidArgument.
Status CheckResidual(const MatMulParams& params, const RunArgs& args, const Shape& result);

// The whole of CheckShapes for unpacked operands.
Status CheckMatMul(const MatMulParams& params, const RunArgs& args);

}  // namespace fusee::ops
