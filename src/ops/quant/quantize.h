// What the kernels of QuantizeLinear and DequantizeLinear share: how scales lie over the tensor.
#pragma once

#include "ops/movement/kernel_support.h"
#include "ops/quant/quantised_types.h"

namespace fusee::ops {

// The tensor seen as [outer, size, inner] around the quantisation axis. Its scale (and zero point)
// is
//   per tensor  one element;
//   per axis    [size];
//   blocked     [outer, ceil(size / block), inner], `block` neighbours on the axis share one.
struct QuantParams {
  int rank = 0;
  int axis = 0;       // meaningless per tensor
  int64_t block = 0;  // 0: not blocked
};

// Reads attributes axis and block_size. Operands: 0 tensor, 1 scale, 2 optional zero point.
Result<QuantParams> ReadQuant(const StepSpec& spec);

// QuantizeLinear's: also the type in which x / scale is rounded, and the range of the result's type
// if that is an integer; else whether a number beyond its range saturates.
struct QuantizeParams {
  QuantParams quant;
  DType precision = DType::kF32;
  bool integer = true;
  double low = 0, high = 0;
  bool saturate = true;
};

// The whole of bind but for the choice of a kernel. x: f32, f16, bf16 or i32; precision: f32, f16
// or bf16; scale: those or f8e8m0; y and zero point: IsQuantised. Errors: kInvalidArgument.
Result<QuantizeParams> ReadQuantize(const StepSpec& spec);
// The same of DequantizeLinear. x and zero point: IsQuantised or i32; y: f32, f16 or bf16.
Result<QuantParams> ReadDequantize(const StepSpec& spec);

// Refuses scales, zero points and results that do not have the shapes above.
Status CheckQuant(std::string_view op, const QuantParams& params, const RunArgs& args);

// A stretch of consecutive elements whose scales are consecutive too, or one.
struct QuantRow {
  int64_t begin = 0;  // first element
  int64_t length = 0;
  int64_t scale = 0;         // index of the first element's scale
  int64_t scale_stride = 0;  // 0 or 1
};

// The tensor as rows, as long as the arrangement of scales allows. Precondition: CheckQuant passed.
class QuantRows {
 public:
  QuantRows(const QuantParams& params, const RunArgs& args);
  int64_t count() const { return count_; }
  int64_t length() const { return length_; }
  QuantRow row(int64_t i) const;

 private:
  enum class Kind : uint8_t { kOne, kAxisInner, kAxisLast, kBlockInner, kBlockLast };
  Kind kind_ = Kind::kOne;
  int64_t count_ = 0, length_ = 0;
  int64_t size_ = 0, inner_ = 0, block_ = 0, blocks_ = 0, elements_ = 0;
};

}  // namespace fusee::ops
