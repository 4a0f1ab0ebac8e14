// Windows, mel weights, DFT and STFT: values against the definitions, symbolic shapes, refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>

#include "ops/quant/quantised_test_util.h"

namespace fusee::ops {
namespace {

using Complex = std::complex<double>;
using F64 = std::vector<double>;
using H = ImportHarness;

void ExpectNear(const Tensor& got, const F64& want, double tolerance) {
  ASSERT_EQ(got.elements(), static_cast<int64_t>(want.size()));
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(DoubleAt(got.view(), static_cast<int64_t>(i)), want[i], tolerance) << i;
}

// --- windows ---

Tensor Window(std::string_view op, int32_t size, int periodic, int type = 11) {
  QuantisedNode node;
  node.Constant<int32_t>({}, {size}).With("periodic", periodic).With("output_datatype", type);
  return node.Run(op, 17);
}

TEST(Windows, PeriodicAndSymmetric) {
  ExpectNear(Window("HannWindow", 4, 1), {0, 0.5, 1, 0.5}, 1e-15);
  ExpectNear(Window("HannWindow", 5, 0), {0, 0.5, 1, 0.5, 0}, 1e-15);
  const double end = 25.0 / 46 - 21.0 / 46;
  ExpectNear(Window("HammingWindow", 3, 0), {end, 1, end}, 1e-15);
  ExpectNear(Window("BlackmanWindow", 4, 1), {0, 0.34, 1, 0.34}, 1e-15);
}

TEST(Windows, SizesOfZeroAndOne) {
  EXPECT_EQ(Window("HannWindow", 0, 1).elements(), 0);
  ExpectNear(Window("HannWindow", 1, 1), {0}, 0);
  ExpectNear(Window("HannWindow", 1, 0), {1}, 0);
}

TEST(Windows, EveryFloatingType) {
  for (int type : {1, 10, 11, 16}) {
    const Tensor window = Window("HannWindow", 4, 1, type);
    EXPECT_EQ(window.dtype(), DTypeFromOnnx(type));
    ExpectNear(window, {0, 0.5, 1, 0.5}, 1e-7);
  }
  QuantisedNode text;
  text.Constant<int64_t>({}, {4}).With("output_datatype", 8);
  EXPECT_EQ(text.Refusal("HannWindow", 17), StatusCode::kUnimplemented);
}

TEST(Windows, SizeMustBeKnownAndSane) {
  QuantisedNode open;
  open.One<int64_t>(4);
  EXPECT_EQ(open.Refusal("HannWindow", 17), StatusCode::kUnimplemented);
  for (int64_t size : {int64_t{-1}, INT64_MAX, INT64_MIN}) {
    QuantisedNode node;
    node.Constant<int64_t>({}, {size});
    EXPECT_EQ(node.Refusal("BlackmanWindow", 17), StatusCode::kInvalidArgument) << size;
  }
}

// --- mel weights ---

QuantisedNode& Mel(QuantisedNode& node, int32_t mels, int32_t length, int32_t rate, float low,
                   float high) {
  node.Constant<int32_t>({}, {mels}).Constant<int32_t>({}, {length}).Constant<int32_t>({}, {rate});
  return node.Constant<float>({}, {low}).Constant<float>({}, {high});
}

TEST(MelWeightMatrix, TrianglesStayInTheSpectrum) {
  QuantisedNode node;
  const Tensor weights = Mel(node, 8, 16, 8192, 0, 4096).Run("MelWeightMatrix", 17);
  ASSERT_EQ(weights.shape(), (Shape{9, 8}));
  for (int64_t m = 0; m < 8; ++m) {
    double peak = 0;
    for (int64_t bin = 0; bin < 9; ++bin)
      peak = std::max(peak, DoubleAt(weights.view(), bin * 8 + m));
    EXPECT_EQ(peak, 1) << m;
  }
}

TEST(MelWeightMatrix, RefusesWhatIsNoSpectrum) {
  const auto code = [](int32_t mels, int32_t length, int32_t rate, float low, float high) {
    QuantisedNode node;
    return Mel(node, mels, length, rate, low, high).Refusal("MelWeightMatrix", 17);
  };
  EXPECT_EQ(code(8, 16, 8192, 0, 4096), StatusCode::kOk);
  EXPECT_EQ(code(8, 16, 8192, 0, 40960), StatusCode::kInvalidArgument) << "beyond the spectrum";
  EXPECT_EQ(code(0, 16, 8192, 0, 4096), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(8, 0, 8192, 0, 4096), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(8, 16, 0, 0, 4096), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(8, 16, 8192, 100, 10), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(INT32_MAX, INT32_MAX, 8192, 0, 4096), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(8, 16, 8192, NAN, 4096), StatusCode::kInvalidArgument);
}

// --- transforms ---

// Sum over k of x[k] e^(-+ 2 pi i j k / n), by the definition.
std::vector<Complex> Transformed(std::vector<Complex> x, size_t n, bool inverse = false) {
  x.resize(n);
  std::vector<Complex> y(n);
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < n; ++k) {
      const double angle = 2 * M_PI * static_cast<double>(j * k % n) / static_cast<double>(n);
      y[j] += x[k] * std::polar(1.0, inverse ? angle : -angle);
    }
    if (inverse) y[j] /= static_cast<double>(n);
  }
  return y;
}

std::vector<Complex> Numbers(size_t n, bool complex) {
  std::vector<Complex> x;
  for (size_t i = 0; i < n; ++i) {
    const auto k = static_cast<double>(i);
    x.emplace_back(std::sin(k * k + 1), complex ? std::cos(3 * k) : 0);
  }
  return x;
}

F64 Flat(const std::vector<Complex>& x, bool complex = true) {
  F64 flat;
  for (const Complex& v : x) {
    flat.push_back(v.real());
    if (complex) flat.push_back(v.imag());
  }
  return flat;
}

TEST(Dft, MatchesTheDefinition) {
  for (int64_t n : {1, 2, 5, 8}) {
    const auto size = static_cast<size_t>(n);
    for (bool complex : {false, true}) {
      for (bool inverse : {false, true}) {
        const auto x = Numbers(size, complex);
        QuantisedNode node;
        node.Operand<double>({1, n, complex ? 2 : 1}, Flat(x, complex)).With("inverse", inverse);
        ExpectNear(node.Run("DFT", 17), Flat(Transformed(x, size, inverse)), 1e-14);
      }
    }
  }
}

TEST(Dft, CutsOffAndPads) {
  for (int64_t n : {3, 8}) {
    QuantisedNode node;
    node.Operand<double>({1, 5, 1}, Flat(Numbers(5, false), false)).Constant<int64_t>({}, {n});
    ExpectNear(node.Run("DFT", 20), Flat(Transformed(Numbers(5, false), static_cast<size_t>(n))),
               1e-14);
  }
  QuantisedNode cut;  // what is cut off has no effect, whatever it is
  cut.Operand<double>({1, 3, 1}, {1, 2, INFINITY}).Constant<int64_t>({}, {2});
  ExpectNear(cut.Run("DFT", 20), {3, 0, -1, 0}, 1e-14);
}

TEST(Dft, OnesidedThereAndBack) {
  for (int64_t n : {1, 2, 5, 8}) {
    const auto x = Numbers(static_cast<size_t>(n), false);
    auto half = Transformed(x, static_cast<size_t>(n));
    half.resize(static_cast<size_t>(n / 2 + 1));
    QuantisedNode there;
    there.Operand<double>({1, n, 1}, Flat(x, false)).With("onesided", 1);
    ExpectNear(there.Run("DFT", 17), Flat(half), 1e-14);
    QuantisedNode back;
    back.Operand<double>({1, n / 2 + 1, 2}, Flat(half)).Constant<int64_t>({}, {n});
    const Tensor y = back.With("onesided", 1).With("inverse", 1).Run("DFT", 20);
    EXPECT_EQ(y.shape(), (Shape{1, n, 1}));
    ExpectNear(y, Flat(x, false), 1e-14);
  }
}

TEST(Dft, AlongAnyAxisButTheLast) {
  const F64 flat = {1, 2, 3, 5, 7, 11};  // columns {1, 3, 7} and {2, 5, 11}
  const auto left = Transformed({1, 3, 7}, 3), right = Transformed({2, 5, 11}, 3);
  F64 want;
  for (size_t i = 0; i < 3; ++i)
    for (const Complex& v : {left[i], right[i]}) want.insert(want.end(), {v.real(), v.imag()});
  QuantisedNode operand;
  operand.Operand<double>({3, 2, 1}, flat).Absent().Constant<int64_t>({}, {-3});
  ExpectNear(operand.Run("DFT", 20), want, 1e-14);
  QuantisedNode attribute;
  attribute.Operand<double>({3, 2, 1}, flat).With("axis", 0);
  ExpectNear(attribute.Run("DFT", 19), want, 1e-14);
  QuantisedNode last;
  last.Operand<double>({3, 2, 1}, flat).With("axis", 2);
  EXPECT_EQ(last.Refusal("DFT", 17), StatusCode::kInvalidArgument);
}

TEST(Dft, KeepsItsTypeAndOtherAxesSymbolic) {
  ImportHarness h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const auto half = h.Input("half", DType::kF16, {n, 16, 1});
  const auto y = h.Import("DFT", 17, {half}, H::Attrs(H::Attr("onesided", 1)));
  EXPECT_EQ(h.Shape(y), "[n,9,2]");
  EXPECT_EQ(h.graph.value(y).info.dtype, DType::kF16);
}

TEST(Dft, RefusesWhatItCannotDo) {
  ImportHarness h;
  const auto code = [&](ir::SymShape shape, std::vector<onnx::Attribute> attrs = {},
                        DType dtype = DType::kF32) {
    return h
        .TryImport("DFT", 17, {h.Input(h.graph.FreshName("x"), dtype, std::move(shape))},
                   std::move(attrs))
        .status()
        .code();
  };
  EXPECT_EQ(code({1, h.Symbol("t", 1, 9), 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({1, 1 << 20, 1}), StatusCode::kUnimplemented) << "the matrix is too large";
  EXPECT_EQ(code({1, int64_t{1} << 40, 1}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({1, 4, 3}), StatusCode::kInvalidArgument) << "neither real nor complex";
  EXPECT_EQ(code({1, 4, 2}, H::Attrs(H::Attr("onesided", 1))), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({1, 4, 1}, {}, DType::kI32), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({1, 0, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({4}), StatusCode::kInvalidArgument);
}

TEST(Stft, FramesWindowAndTransform) {
  for (bool complex : {false, true}) {
    const auto x = Numbers(11, complex);
    const F64 window = {0.25, 1, 0.5, 2};
    QuantisedNode node;
    node.Operand<double>({1, 11, complex ? 2 : 1}, Flat(x, complex)).Constant<int64_t>({}, {3});
    node.Operand<double>({4}, window).With("onesided", complex ? 0 : 1);
    F64 want;
    for (size_t start : {0, 3, 6}) {
      std::vector<Complex> frame;
      for (size_t i = 0; i < 4; ++i) frame.push_back(x[start + i] * window[i]);
      auto bins = Transformed(frame, 4);
      if (!complex) bins.resize(3);
      const F64 flat = Flat(bins);
      want.insert(want.end(), flat.begin(), flat.end());
    }
    const Tensor y = node.Run("STFT", 17);
    EXPECT_EQ(y.shape(), (Shape{1, 3, complex ? 4 : 3, 2}));
    ExpectNear(y, want, 1e-14);
  }
}

TEST(Stft, TheSignalsLengthMayBeSymbolic) {
  ImportHarness h;
  const auto signal =
      h.Input("s", DType::kF32, {h.Symbol("b", 1, 4), h.Symbol("t", 400, 16000), 1});
  const auto y = h.Import("STFT", 17, {signal, h.Int(160), ir::ValueId(), h.Int(400)});
  EXPECT_EQ(h.graph.value(y).info.shape.size(), 4U);
  EXPECT_EQ(h.graph.value(y).info.shape[0], ir::Dim::Symbol("b"));
  EXPECT_EQ(h.graph.value(y).info.shape[2], ir::Dim(201));
  EXPECT_EQ(h.graph.value(y).info.dtype, DType::kF32);
}

TEST(Stft, RefusesWhatDoesNotFit) {
  ImportHarness h;
  const auto real = h.Input("r", DType::kF32, {1, 16, 1});
  const auto window = h.Input("w", DType::kF32, {4});
  const auto code = [&](std::vector<ir::ValueId> inputs, std::vector<onnx::Attribute> attrs = {}) {
    return h.TryImport("STFT", 17, std::move(inputs), std::move(attrs)).status().code();
  };
  const ir::ValueId none;
  EXPECT_EQ(code({real, h.Int(2), window}), StatusCode::kOk);
  EXPECT_EQ(code({real, h.Int(2)}), StatusCode::kInvalidArgument) << "of no length";
  EXPECT_EQ(code({real, h.Int(0), window}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({real, h.Int(-1), window}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({real, h.Int(2), window, h.Int(5)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({real, h.Int(2), none, h.Int(17)}), StatusCode::kInvalidArgument) << "too long";
  const auto complex = h.Input("c", DType::kF32, {1, 16, 2});
  EXPECT_EQ(code({complex, h.Int(2), window}), StatusCode::kInvalidArgument) << "onesided";
  EXPECT_EQ(code({real, h.Input("step", DType::kI64, {}), window}), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::ops
