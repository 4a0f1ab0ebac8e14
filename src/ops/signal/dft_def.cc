// DFT and STFT, spelled as products with constant matrices of sines and cosines:
//
//   DFT    x [.., L, .., C]  Transpose [.., L, C]  Reshape [.., L C]  MatMul [L C, n D]
//          Reshape [.., n, D]  Transpose back; C, D: 1 real, 2 complex
//   STFT   signal [B, T, C]  Conv1d, one output channel per bin and part, stride frame_step
//          [B, bins 2, frames]  Reshape [B, bins, 2, frames]  Transpose [B, frames, bins, 2]
//
// A product costs n^2 where a fast transform costs n log n, but frames are short, their number may
// be symbolic, and every device has the kernels. Computed in f64 and rounded once: bins that cancel
// to 0 would show the rounding of f32.
#include <fmt/format.h>

#include <functional>
#include <numeric>

#include "ops/op_def.h"
#include "tensor/math.h"

namespace fusee::ops {
namespace {

constexpr double kPi = 3.14159265358979323846;
// 256 MiB of f64: one-sided transforms of real numbers to about 5700 points, complex ones to 2800.
constexpr int64_t kMatrixElementsMax = int64_t{1} << 25;

Result<ir::ValueId> CastTo(ImportContext& c, ir::ValueId value, DType to) {
  if (c.graph().value(value).info.dtype == to) return value;
  return c.Emit("Cast", {value}, {{"to", static_cast<int64_t>(to)}});
}

// One transform of n points. Rows: in positions times in_parts; columns: out positions times
// out_parts.
struct Transform {
  int64_t n = 0;
  bool inverse = false, onesided = false;
  int64_t in = 0, in_parts = 1, out = 0, out_parts = 2;

  // What part p of position i of the operand adds to part q of position o of the result.
  double Weight(int64_t i, int64_t p, int64_t o, int64_t q) const {
    const double angle = 2 * kPi * static_cast<double>(i * o % n) / static_cast<double>(n);
    const double cosine = math::Cos(angle);
    const double sine = inverse ? math::Sin(angle) : -math::Sin(angle);
    const double value = p == q ? cosine : (q == 1 ? sine : -sine);
    if (!inverse) return value;
    // The real inverse: a bin stands for its mirror image too, unless it is its own, when its
    // imaginary part has no effect.
    const bool own = i == 0 || 2 * i == n;
    if (onesided && own && p == 1) return 0;
    return value * (onesided && !own ? 2 : 1) / static_cast<double>(n);
  }
};

Result<int64_t> Size(ImportContext& c, size_t i, std::string_view meaning) {
  FUSEE_TRY(const std::vector<int64_t> values, c.ConstInts(i, meaning));
  if (values.size() != 1 || values[0] < 1 || values[0] > kMatrixElementsMax) {
    return c.Error(
        fmt::format("{} should be one number, from 1 to {}", meaning, kMatrixElementsMax));
  }
  return values[0];
}

// A matrix of `rows` by `columns` whose elements at(row, column) gives.
Result<Tensor> Matrix(ImportContext& c, const Shape& shape, int64_t rows, int64_t columns,
                      const std::function<double(int64_t, int64_t)>& at) {
  if (rows > kMatrixElementsMax / std::max<int64_t>(columns, 1)) {
    return c.Refuse(fmt::format(
        "a transform of {} by {} numbers is above the limit of {} elements; split it into frames",
        rows, columns, kMatrixElementsMax));
  }
  TensorView out;
  FUSEE_TRY(Tensor matrix, Tensor::Allocate(DType::kF64, shape, &out));
  auto* data = out.as<double>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < columns; ++k) data[r * columns + k] = at(r, k);
  return matrix;
}

// Parts of each number: the last dimension.
Result<int64_t> Parts(ImportContext& c) {
  if (!c.has_input(0)) return c.Error("operand 0 is missing");
  if (!IsFloat(c.info(0).dtype)) return c.Error("the operand should be floating-point");
  const ir::Dim last = c.rank(0) < 2 ? ir::Dim(0) : c.info(0).shape.back();
  if (last == ir::Dim(1) || last == ir::Dim(2)) return last.constant();
  return c.Error(
      fmt::format("the operand is {}, expected a last dimension of 1 (real) or 2 "
                  "(complex)",
                  ir::ToString(c.info(0).shape)));
}

// [a, ..., axis, ..., parts] to [a, ..., ..., axis, parts].
std::vector<int64_t> AxisLast(int rank, int axis) {
  std::vector<int64_t> perm(static_cast<size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  perm.erase(perm.begin() + axis);
  perm.insert(perm.end() - 1, axis);
  return perm;
}

std::vector<int64_t> Inverted(const std::vector<int64_t>& perm) {
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i)
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return inverse;
}

Result<Transform> ReadTransform(ImportContext& c, int axis) {
  Transform t;
  FUSEE_TRY(t.in_parts, Parts(c));
  FUSEE_TRY(const int64_t inverse, c.Int("inverse", 0));
  FUSEE_TRY(const int64_t onesided, c.Int("onesided", 0));
  t.inverse = inverse != 0;
  t.onesided = onesided != 0;
  const ir::Dim& length = c.info(0).shape[static_cast<size_t>(axis)];
  if (!length.is_constant()) {
    return c.Refuse(fmt::format(
        "the length of the transformed axis is {}, but must be known while building; fix it",
        length.ToString()));
  }
  // The transform is a matrix; larger ones have no memory anyway.
  if (length.constant() > INT32_MAX)
    return c.Refuse(fmt::format("a transform of {} points is too long", length.ToString()));
  const bool real_result = t.inverse && t.onesided;
  if (t.onesided && !t.inverse && t.in_parts == 2) return c.Error("onesided needs a real operand");
  t.n = real_result ? 2 * (length.constant() - 1) : length.constant();
  if (c.has_input(1)) {
    FUSEE_TRY(t.n, Size(c, 1, "dft_length"));
  }
  if (t.n < 1) return c.Error("the transform has no points");
  if (t.n > INT32_MAX) return c.Refuse(fmt::format("a transform of {} points is too long", t.n));
  // Positions beyond n are cut off; missing ones count as 0 and need no rows.
  t.in = std::min(length.constant(), real_result ? t.n / 2 + 1 : t.n);
  t.out = t.onesided && !t.inverse ? t.n / 2 + 1 : t.n;
  t.out_parts = real_result ? 1 : 2;
  return t;
}

Status EmitDft(ImportContext& c, int axis) {
  FUSEE_TRY(const Transform t, ReadTransform(c, axis));
  const int64_t rows = t.in * t.in_parts, columns = t.out * t.out_parts;
  FUSEE_TRY(Tensor matrix,
            Matrix(c, Shape{rows, columns}, rows, columns, [&](int64_t r, int64_t k) {
              return t.Weight(r / t.in_parts, r % t.in_parts, k / t.out_parts, k % t.out_parts);
            }));
  const auto a = static_cast<size_t>(axis);
  const std::vector<int64_t> perm = AxisLast(c.rank(0), axis);
  FUSEE_TRY(ir::ValueId x, CastTo(c, c.input(0), DType::kF64));
  FUSEE_TRY(x, c.Emit("Transpose", {x}, {{"perm", perm}}));
  ir::SymShape lead = c.info(0).shape;
  const int64_t length = lead[a].constant();
  lead.erase(lead.begin() + axis);
  lead.pop_back();
  const auto with = [&](std::initializer_list<ir::Dim> dims) {
    ir::SymShape shape = lead;
    shape.insert(shape.end(), dims);
    return shape;
  };
  FUSEE_TRY(x, c.Emit("Reshape", {x}, {}, with({length * t.in_parts})));
  // Cut off rather than multiplied by 0, which would make a NaN of an infinity.
  if (t.in < length) {
    std::vector<int64_t> kept(static_cast<size_t>(t.in * t.in_parts));
    std::iota(kept.begin(), kept.end(), 0);
    const ir::ValueId index = c.Constant(Tensor::Of<int64_t>(
        Shape{static_cast<int64_t>(kept.size())}, std::span<const int64_t>(kept)));
    FUSEE_TRY(x, c.Emit("Gather", {x, index}, {{"axis", static_cast<int64_t>(lead.size())}}));
  }
  FUSEE_TRY(x, c.Emit("MatMul", {x, c.Constant(std::move(matrix))}));
  FUSEE_TRY(x, c.Emit("Reshape", {x}, {}, with({t.out, t.out_parts})));
  FUSEE_TRY(x, c.Emit("Transpose", {x}, {{"perm", Inverted(perm)}}));
  FUSEE_TRY(x, CastTo(c, x, c.info(0).dtype));
  c.SetOutput(0, x);
  return OkStatus();
}

// The last axis holds the parts and cannot be transformed.
Result<int> SignalAxis(ImportContext& c, int64_t value) {
  if (!c.has_input(0)) return c.Error("operand 0 is missing");
  FUSEE_TRY(const int axis, c.Axis(value, c.rank(0)));
  if (axis == c.rank(0) - 1) return c.Error("the last axis holds real and imaginary parts");
  return axis;
}

Status ImportDft17(ImportContext& c) {
  FUSEE_TRY(const int64_t value, c.Int("axis", 1));
  FUSEE_TRY(const int axis, SignalAxis(c, value));
  return EmitDft(c, axis);
}

Status ImportDft20(ImportContext& c) {
  std::vector<int64_t> value = {-2};
  if (c.has_input(2)) {
    FUSEE_TRY(value, c.ConstInts(2, "axis"));
  }
  if (value.size() != 1) return c.Error("the axis should have one element");
  FUSEE_TRY(const int axis, SignalAxis(c, value[0]));
  return EmitDft(c, axis);
}

// frame_length, or the length of the window; both when both are given.
Result<int64_t> FrameLength(ImportContext& c) {
  int64_t length = 0;
  if (c.has_input(3)) {
    FUSEE_TRY(length, Size(c, 3, "frame_length"));
  }
  if (c.has_input(2)) {
    if (c.rank(2) != 1 || c.info(2).dtype != c.info(0).dtype)
      return c.Error("the window should be 1-D, of the signal's type");
    const ir::Dim& window = c.info(2).shape[0];
    if (length == 0 && !window.is_constant())
      return c.Refuse("the length of the window must be known while building; give frame_length");
    if (length == 0) length = window.constant();
    FUSEE_TRY(c.RequireEqual(window, length, "the window's length and frame_length"));
  }
  if (length < 1) return c.Error("needs a window or a frame_length");
  return length;
}

Status ImportStft(ImportContext& c) {
  FUSEE_TRY(const int64_t parts, Parts(c));
  if (c.rank(0) != 3) return c.Error("the signal should be [batch, length, 1 or 2]");
  FUSEE_TRY(const int64_t step, Size(c, 1, "frame_step"));
  FUSEE_TRY(const int64_t length, FrameLength(c));
  FUSEE_TRY(const int64_t onesided, c.Int("onesided", 1));
  if (onesided != 0 && parts == 2) return c.Error("onesided needs a real signal");
  const Transform t = {.n = length,
                       .in = length,
                       .in_parts = parts,
                       .out = onesided != 0 ? length / 2 + 1 : length,
                       .out_parts = 2};
  // Row: bin and its part; column: part of the signal, position in the frame.
  FUSEE_TRY(Tensor basis, Matrix(c, Shape{t.out * 2, parts, length}, t.out * 2, parts * length,
                                 [&](int64_t r, int64_t k) {
                                   return t.Weight(k % length, k / length, r / 2, r % 2);
                                 }));
  ir::ValueId weight = c.Constant(std::move(basis));
  if (c.has_input(2)) {
    FUSEE_TRY(const ir::ValueId window, CastTo(c, c.input(2), DType::kF64));
    FUSEE_TRY(weight, c.Emit("Mul", {weight, window}));
  }
  FUSEE_TRY(ir::ValueId x, CastTo(c, c.input(0), DType::kF64));
  FUSEE_TRY(x, c.Emit("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}}));
  FUSEE_TRY(x, c.Emit("Conv", {x, weight},
                      {{"kernel_shape", std::vector<int64_t>{length}},
                       {"strides", std::vector<int64_t>{step}},
                       {"dilations", std::vector<int64_t>{1}},
                       {"pads", std::vector<int64_t>{0, 0}},
                       {"group", int64_t{1}}}));
  const ir::SymShape shape = c.graph().value(x).info.shape;
  FUSEE_TRY(x, c.Emit("Reshape", {x}, {}, {shape[0], t.out, 2, shape[2]}));
  FUSEE_TRY(x, c.Emit("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 3, 1, 2}}}));
  FUSEE_TRY(x, CastTo(c, x, c.info(0).dtype));
  c.SetOutput(0, x);
  return OkStatus();
}

}  // namespace

// Opset 20 made the axis an operand.
OpDef DefineDFT() {
  return {.name = "DFT",
          .imports = {{"DFT", 17, 19, ImportDft17}, {"DFT", 20, 1 << 20, ImportDft20}}};
}

OpDef DefineSTFT() { return {.name = "STFT", .imports = {{"STFT", 17, 1 << 20, ImportStft}}}; }

}  // namespace fusee::ops
