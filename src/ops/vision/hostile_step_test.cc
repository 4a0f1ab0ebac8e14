// Plans are untrusted, and so are regions, grids and offsets: from a right step of each operator,
// steps with something wrong in them, or with absurd contents. A kernel refuses them or stays
// within its operands; the test utility's canaries and the sanitizers watch the runs.
#include <gtest/gtest.h>

#include <limits>

#include "ops/number_stream_test_util.h"
#include "ops/vision/vision_test_util.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 1;
constexpr uint64_t kSteps = 3000;

class Draw : public NumberStream {
 public:
  explicit Draw(uint64_t stream) : NumberStream(kSeed, stream) {}
  int64_t Number() { return NumberStream::Number(10); }
  double Real() {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const double wild[] = {inf,  -inf, std::numeric_limits<double>::quiet_NaN(), 1e30, -1e30, 3e9,
                           -3e9, 1e-40};
    const int64_t pick = (*this)(0, 39);
    return pick < 8 ? wild[pick] : static_cast<double>((*this)(-40, 80)) / 16;
  }
};

constexpr DType kTypes[] = {DType::kF32,  DType::kF64, DType::kF16,
                            DType::kBF16, DType::kI64, DType::kU8};

Tensor Contents(Draw& draw, DType dtype, const Shape& shape) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i) {
    if (IsFloat(dtype)) {
      StoreDouble(view, i, draw.Real());
    } else {
      StoreInt(view, i, draw(0, 3) == 0 ? draw.Number() : draw(0, 1));
    }
  }
  return tensor;
}

using Ints = std::vector<int64_t>;

// A right step of the operator, in the given type where it has a choice.
KernelCall RightStep(Draw& draw, std::string_view op, DType type) {
  const auto tensor = [&](const Shape& shape) { return Contents(draw, type, shape); };
  if (op == "GridSample") {
    const char* const modes[] = {"nearest", "linear", "cubic"};
    const char* const paddings[] = {"zeros", "border", "reflection"};
    return {.op = op,
            .attrs = {{"mode", std::string(modes[draw(0, 2)])},
                      {"padding_mode", std::string(paddings[draw(0, 2)])},
                      {"align_corners", draw(0, 1)}},
            .inputs = {tensor({2, 1, 1, 3}), Contents(draw, DType::kF32, {2, 2, 1, 2})},
            .outputs = {{type, {2, 1, 2, 1}}}};
  }
  if (op == "RoiAlign") {
    return {.op = op,
            .attrs = {{"height", int64_t{2}},
                      {"mode", std::string(draw(0, 1) == 0 ? "avg" : "max")},
                      {"half_pixel", draw(0, 1)},
                      {"sampling_ratio", draw(0, 2)}},
            .inputs = {tensor({2, 1, 3, 2}), tensor({1, 4}), Contents(draw, DType::kI64, {1})},
            .outputs = {{type, {1, 1, 2, 1}}}};
  }
  if (op == "MaxRoiPool") {
    return {.op = op,
            .attrs = {{"height", int64_t{2}}},
            .inputs = {tensor({2, 1, 3, 2}), tensor({1, 5})},
            .outputs = {{type, {1, 1, 2, 1}}}};
  }
  if (op == "Col2Im") {
    return {.op = op,
            .attrs = {{"kernel_shape", Ints{2, 1}}, {"pads", Ints{0, 0, 1, 0}}},
            .inputs = {tensor({1, 4, 6})},
            .outputs = {{type, {1, 2, 3, 2}}},
            .dims = {3, 2}};
  }
  return {.op = op,
          .attrs = {{"kernel_shape", Ints{2, 1}}, {"offset_group", int64_t{2}}},
          .inputs = {tensor({1, 2, 3, 2}), tensor({2, 2, 2, 1}), tensor({1, 8, 2, 2}), tensor({2}),
                     tensor({1, 4, 2, 2})},
          .outputs = {{type, {1, 2, 2, 2}}}};
}

Shape Spoil(Draw& draw, Shape shape) {
  if (shape.rank() == 0 || draw(0, 3) == 0) shape.push_back(draw(0, 2));
  if (draw(0, 3) == 0) {
    shape.set_rank(shape.rank() - 1);
  } else {
    shape[static_cast<int>(draw(0, shape.rank() - 1))] = draw(0, 4);
  }
  return shape;
}

void SpoilAttr(Draw& draw, Attrs& attrs) {
  const char* const lists[] = {"kernel_shape", "pads", "strides", "dilations"};
  const char* const numbers[] = {"height", "width",          "group",      "offset_group",
                                 "mode",   "sampling_ratio", "half_pixel", "align_corners"};
  if (draw(0, 1) == 0) {
    Ints list(static_cast<size_t>(draw(0, 5)));
    for (int64_t& v : list) v = draw.Number();
    attrs.Set(lists[draw(0, 3)], std::move(list));
  } else if (draw(0, 3) == 0) {
    attrs.Set("spatial_scale", draw.Real());
  } else {
    attrs.Set(numbers[draw(0, 7)], draw.Number());
  }
}

void SpoilStep(Draw& draw, KernelCall& call) {
  const auto any_input = [&]() -> Tensor& {
    return call.inputs[static_cast<size_t>(draw(0, static_cast<int64_t>(call.inputs.size()) - 1))];
  };
  switch (draw(0, 6)) {
    case 0: {
      Tensor& input = any_input();
      if (!input.present()) break;
      input = Contents(draw, input.dtype(), Spoil(draw, input.shape()));
      break;
    }
    case 1: {
      Tensor& input = any_input();
      if (input.present()) input = Contents(draw, kTypes[draw(0, 5)], input.shape());
      break;
    }
    case 2: any_input() = Tensor(); break;
    case 3: call.outputs[0].second = Spoil(draw, call.outputs[0].second); break;
    case 4: call.outputs[0].first = kTypes[draw(0, 5)]; break;
    case 5:
      if (!call.dims.empty()) call.dims[0] = draw.Number();
      break;
    default: SpoilAttr(draw, call.attrs);
  }
}

TEST(HostileVisionStep, IsRefusedOrStaysWithinItsOperands) {
  uint64_t stream = 0;
  for (const char* op : {"GridSample", "RoiAlign", "MaxRoiPool", "Col2Im", "DeformConv"}) {
    for (const KernelDef* kernel : TacticsUnderTest(op)) {
      int ran = 0, refused = 0;
      for (uint64_t i = 0; i < kSteps; ++i) {
        Draw draw(++stream);
        KernelCall call = RightStep(draw, op, kTypes[draw(0, 3)]);
        for (int64_t faults = draw(0, 2); faults > 0; --faults) SpoilStep(draw, call);
        const auto got = RunKernel(kernel->id, call);
        ++(got.ok() ? ran : refused);
        // Canaries report as kInternal; so would a bug of ours.
        ASSERT_NE(got.status().code(), StatusCode::kInternal)
            << kernel->id << ", stream " << stream << ": " << got.status().ToString();
      }
      EXPECT_GT(ran, 0) << kernel->id << " never ran";
      EXPECT_GT(refused, 0) << kernel->id << " took everything";
    }
  }
}

}  // namespace
}  // namespace fusee::ops
