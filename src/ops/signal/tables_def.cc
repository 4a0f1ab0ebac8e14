// HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix: tables that depend on sizes only,
// computed in double while importing and rounded once.
#include <fmt/format.h>

#include <cmath>

#include "ops/op_def.h"
#include "tensor/math.h"

namespace fusee::ops {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int64_t kTableElementsMax = int64_t{1} << 24;

// Allocates the table in the type of attribute output_datatype (default f32).
Result<Tensor> Table(ImportContext& c, const Shape& shape, TensorView* out) {
  FUSEE_TRY(const int64_t number, c.Int("output_datatype", 1));
  const auto code = static_cast<int32_t>(number > 0 && number < 256 ? number : -1);
  const auto dtype = DTypeFromOnnx(code);
  if (!dtype || *dtype == DType::kBool) {
    return c.Refuse(
        fmt::format("output_datatype is {}, which is not supported here", OnnxTypeName(code)));
  }
  return Tensor::Allocate(*dtype, shape, out);
}

Status SetTable(ImportContext& c, Tensor table) {
  c.SetOutput(0, c.Constant(std::move(table)));
  return OkStatus();
}

// A number that must be known; its sign and size are checked by the caller.
Result<double> Number(ImportContext& c, size_t i, std::string_view meaning) {
  FUSEE_TRY(const Tensor tensor, c.ConstInput(i, meaning));
  if (tensor.elements() != 1) return c.Error(fmt::format("{} should have one element", meaning));
  const double value = DoubleAt(tensor.view(), 0);
  if (!(std::abs(value) <= 1e15)) return c.Error(fmt::format("{} is {}", meaning, value));
  return value;
}

// a - b cos(2 pi i / n) + d cos(4 pi i / n), where n is the size, or one less when not periodic.
Status ImportWindowOf(ImportContext& c, double a, double b, double d) {
  FUSEE_TRY(const double size, Number(c, 0, "size"));
  FUSEE_TRY(const int64_t periodic, c.Int("periodic", 1));
  if (!(size >= 0 && size <= static_cast<double>(kTableElementsMax)))
    return c.Error(fmt::format("size is {}, expected 0 to {}", size, kTableElementsMax));
  const auto count = static_cast<int64_t>(size);
  TensorView out;
  FUSEE_TRY(Tensor table, Table(c, Shape{count}, &out));
  const auto n = static_cast<double>(periodic != 0 ? count : count - 1);
  for (int64_t i = 0; i < count; ++i) {
    const double angle = 2 * kPi * static_cast<double>(i) / n;
    // A symmetric window of one point has no period: it is its own middle.
    const double value = n == 0 ? 1 : a - b * math::Cos(angle) + d * math::Cos(2 * angle);
    StoreDouble(out, i, value);
  }
  return SetTable(c, std::move(table));
}

Status ImportHann(ImportContext& c) { return ImportWindowOf(c, 0.5, 0.5, 0); }
Status ImportHamming(ImportContext& c) { return ImportWindowOf(c, 25.0 / 46, 21.0 / 46, 0); }
Status ImportBlackman(ImportContext& c) { return ImportWindowOf(c, 0.42, 0.5, 0.08); }

double MelOf(double hertz) { return 2595 * math::Log(1 + hertz / 700) / math::Log(10); }
double HertzOf(double mel) { return 700 * (math::Exp(mel / 2595 * math::Log(10)) - 1); }

// Column m is a triangle over the spectrum's bins: from edge m up to edge m + 1, down to edge
// m + 2. Edges lie evenly in mels and are rounded down to bins.
void FillTriangles(const std::vector<int64_t>& edges, int64_t mels, const TensorView& out) {
  for (int64_t m = 0; m < mels; ++m) {
    const auto at = static_cast<size_t>(m);
    const int64_t low = edges[at], centre = edges[at + 1], high = edges[at + 2];
    if (low == centre) StoreDouble(out, centre * mels + m, 1);
    for (int64_t bin = low; low < centre && bin <= centre; ++bin) {
      StoreDouble(out, bin * mels + m,
                  static_cast<double>(bin - low) / static_cast<double>(centre - low));
    }
    for (int64_t bin = centre; bin < high; ++bin) {
      StoreDouble(out, bin * mels + m,
                  static_cast<double>(high - bin) / static_cast<double>(high - centre));
    }
  }
}

Status ImportMelWeights(ImportContext& c) {
  FUSEE_TRY(const double mel_count, Number(c, 0, "num_mel_bins"));
  FUSEE_TRY(const double length, Number(c, 1, "dft_length"));
  FUSEE_TRY(const double rate, Number(c, 2, "sample_rate"));
  FUSEE_TRY(const double low, Number(c, 3, "lower_edge_hertz"));
  FUSEE_TRY(const double high, Number(c, 4, "upper_edge_hertz"));
  const auto limit = static_cast<double>(kTableElementsMax);
  if (!(mel_count >= 1 && length >= 1 && rate >= 1 && low >= 0 && high >= low &&
        mel_count <= limit && length <= limit && mel_count * (length / 2 + 1) <= limit)) {
    return c.Error(fmt::format(
        "{} mel bins, dft_length {}, sample rate {}, edges {} and {} Hz make no table of up to {} "
        "elements",
        mel_count, length, rate, low, high, kTableElementsMax));
  }
  const auto mels = static_cast<int64_t>(mel_count);
  const int64_t bins = static_cast<int64_t>(length) / 2 + 1;
  const double step = (MelOf(high) - MelOf(low)) / static_cast<double>(mels + 2);
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < mels + 2; ++i) {
    const double hertz = HertzOf(static_cast<double>(i) * step + MelOf(low));
    const double edge = std::floor((length + 1) * hertz / rate);
    if (!(edge >= 0 && edge < static_cast<double>(bins))) {
      return c.Error(
          fmt::format("an edge at {} Hz is beyond the spectrum of {} bins", hertz, bins));
    }
    edges.push_back(static_cast<int64_t>(edge));
  }
  TensorView out;
  FUSEE_TRY(Tensor table, Table(c, Shape{bins, mels}, &out));
  FillTriangles(edges, mels, out);
  return SetTable(c, std::move(table));
}

OpDef Define(std::string_view name, Status (*import)(ImportContext&)) {
  return {.name = name, .imports = {{name, 17, 1 << 20, import}}};
}

}  // namespace

OpDef DefineHannWindow() { return Define("HannWindow", ImportHann); }
OpDef DefineHammingWindow() { return Define("HammingWindow", ImportHamming); }
OpDef DefineBlackmanWindow() { return Define("BlackmanWindow", ImportBlackman); }
OpDef DefineMelWeightMatrix() { return Define("MelWeightMatrix", ImportMelWeights); }

}  // namespace fusee::ops
