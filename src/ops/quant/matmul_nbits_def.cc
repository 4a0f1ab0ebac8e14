// MatMulNBits (com.microsoft): a MatMul whose weight is stored in 2, 4 or 8 bits, here expanded
// while importing. Operands: a [..., K], b, scales, and optionally zero points, g_idx, bias.
//
//   b       u8 [N, blocks, block_size bits / 8]: column n of the weight, lowest bits first
//   scales  [N blocks], of a's type
//   zeros   u8 [N, ceil(blocks bits / 8)], packed as b is; or like scales; default 2^(bits - 1)
//   weight  [K, N]: (b - zero) * scale, rounded once to a's type
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

struct NBits {
  int64_t k = 0, n = 0, bits = 4, block = 0;
  int64_t blocks() const { return (k + block - 1) / block; }
  int64_t block_bytes() const { return block * bits / 8; }
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }  // of one column
};

constexpr int64_t kSizeMax = int64_t{1} << 30;  // of K, N and block_size

Result<NBits> ReadAttributes(ImportContext& c) {
  NBits p;
  FUSEE_TRY(p.k, c.RequiredInt("K"));
  FUSEE_TRY(p.n, c.RequiredInt("N"));
  FUSEE_TRY(p.bits, c.Int("bits", 4));
  FUSEE_TRY(p.block, c.RequiredInt("block_size"));
  c.Ignore("accuracy_level");  // a licence to compute worse
  if (p.bits != 2 && p.bits != 4 && p.bits != 8)
    return c.Refuse(fmt::format("bits is {}; 2, 4 and 8 are supported", p.bits));
  if (p.k < 1 || p.n < 1 || p.block < 1 || p.k > kSizeMax || p.n > kSizeMax || p.block > kSizeMax ||
      p.block * p.bits % 8 != 0) {
    return c.Error(fmt::format("K {}, N {} and block_size {} are not sizes of packed blocks", p.k,
                               p.n, p.block));
  }
  return p;
}

int64_t CodeAt(const uint8_t* bytes, int64_t i, int64_t bits) {
  return (bytes[i * bits / 8] >> (i * bits % 8)) & ((1 << bits) - 1);
}

Result<Tensor> CheckedOperand(ImportContext& c, size_t i, std::string_view meaning, DType dtype,
                              int64_t elements) {
  FUSEE_TRY(Tensor tensor, c.ConstInput(i, meaning));
  if (tensor.dtype() != dtype || tensor.elements() != elements) {
    return c.Error(fmt::format("{} are {}, expected {} elements of {}", meaning,
                               Describe(tensor.dtype(), tensor.shape()), elements,
                               DTypeName(dtype)));
  }
  return tensor;
}

// The zero point of block `block` of column n.
double ZeroAt(const NBits& p, const Tensor& zeros, int64_t n, int64_t block) {
  if (!zeros.present()) return static_cast<double>(int64_t{1} << (p.bits - 1));
  if (zeros.dtype() != DType::kU8) return DoubleAt(zeros.view(), n * p.blocks() + block);
  return static_cast<double>(CodeAt(zeros.as<uint8_t>() + n * p.zero_bytes(), block, p.bits));
}

Result<Tensor> Expand(ImportContext& c, const NBits& p, DType dtype) {
  FUSEE_TRY(const Tensor codes, CheckedOperand(c, 1, "the packed weights", DType::kU8,
                                               p.n * p.blocks() * p.block_bytes()));
  FUSEE_TRY(const Tensor scales, CheckedOperand(c, 2, "the scales", dtype, p.n * p.blocks()));
  Tensor zeros;
  if (c.has_input(3)) {
    const bool packed = c.info(3).dtype == DType::kU8;
    FUSEE_TRY(zeros, CheckedOperand(c, 3, "the zero points", packed ? DType::kU8 : dtype,
                                    p.n * (packed ? p.zero_bytes() : p.blocks())));
  }
  TensorView out;
  FUSEE_TRY(Tensor weight, Tensor::Allocate(dtype, Shape{p.k, p.n}, &out));
  for (int64_t n = 0; n < p.n; ++n) {
    for (int64_t block = 0; block < p.blocks(); ++block) {
      const double scale = DoubleAt(scales.view(), n * p.blocks() + block);
      const double zero = ZeroAt(p, zeros, n, block);
      const uint8_t* bytes = codes.as<uint8_t>() + (n * p.blocks() + block) * p.block_bytes();
      for (int64_t i = 0; i < p.block && block * p.block + i < p.k; ++i) {
        const auto code = static_cast<double>(CodeAt(bytes, i, p.bits));
        StoreDouble(out, (block * p.block + i) * p.n + n, (code - zero) * scale);
      }
    }
  }
  return weight;
}

Status ImportMatMulNBits(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand a is missing");
  const DType dtype = c.info(0).dtype;
  if (!IsFloat(dtype)) return c.Error("a should be floating-point");
  if (c.has_input(4)) return c.Refuse("g_idx is not supported; quantise without reordering");
  FUSEE_TRY(const NBits p, ReadAttributes(c));
  FUSEE_TRY(Tensor weight, Expand(c, p, dtype));
  FUSEE_TRY(ir::ValueId y, c.Emit("MatMul", {c.input(0), c.Constant(std::move(weight))}));
  if (c.has_input(5)) {
    if (c.rank(5) != 1) return c.Error("the bias should be 1-D");
    FUSEE_TRY(c.RequireEqual(c.info(5).shape[0], p.n, "the bias and N"));
    FUSEE_TRY(y, c.Emit("Add", {y, c.input(5)}));
  }
  c.SetOutput(0, y);
  return OkStatus();
}

}  // namespace

OpDef DefineMatMulNBits() {
  return {.name = "MatMulNBits",
          .imports = {
              {.onnx_op = "MatMulNBits", .import = ImportMatMulNBits, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
