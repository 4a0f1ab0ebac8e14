#include "quant/allow_tf32.h"

#include <gtest/gtest.h>

#include "ir/text.h"
#include "ops/math_mode.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "quant/convert_precision.h"

namespace fusee::quant {
namespace {

constexpr std::string_view kNet = R"(graph "g" {
  input %x : f32[1,2,3,3]
  input %i : i64[2,2]
  const %w : f32[2,2,1,1] = {1, 2, 3, 4}
  const %m : f32[3,3] = {1, 2, 3, 4, 5, 6, 7, 8, 9}
  const %v : i64[2,2] = {1, 2, 3, 4}
  %c : f32[1,2,3,3] = Conv(%x, %w) {kernel_shape = [1, 1]} from("conv")
  %e : f32[1,2,3,3] = Exp(%c) from("exp")
  %y : f32[1,2,3,3] = MatMul(%e, %m) from("matmul")
  %j : i64[2,2] = MatMul(%i, %v) from("integers")
  output %y as "y"
  output %j as "j"
})";

// "Conv tf32, Exp, ...".
std::string Marks(const ir::Graph& graph) {
  std::string text;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    text += (text.empty() ? "" : ", ") + node.op;
    if (ops::AllowsTf32(node.attrs).value()) text += " tf32";
  }
  return text;
}

TEST(AllowTf32, MarksProductsOfFloats) {
  const auto graph = ir::Parse(kNet).value();
  EXPECT_EQ(AllowTf32(*graph), 2);
  EXPECT_EQ(Marks(*graph), "Conv tf32, Exp, MatMul tf32, MatMul");
  const Status typed = passes::VerifyTyped(*graph);
  EXPECT_TRUE(typed.ok()) << typed.ToString();
}

TEST(AllowTf32, LeavesWhatComputesInSixteenBits) {
  const auto graph = ir::Parse(kNet).value();
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16, .magnitudes = {{"e", 1e6}}});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(AllowTf32(*graph), 1);  // e is too large for f16, so the product stays f32
  EXPECT_EQ(Marks(*graph), "Cast, Conv, Cast, Exp, MatMul tf32, MatMul");
}

TEST(AllowTf32, IsAPermissionThatTheReferenceDoesNotUse) {
  const auto graph = ir::Parse(kNet).value();
  const auto before = ir::Clone(*graph);
  AllowTf32(*graph);
  TensorView x, i;
  const std::vector<Tensor> inputs = {Tensor::Allocate(DType::kF32, Shape{1, 2, 3, 3}, &x).value(),
                                      Tensor::Allocate(DType::kI64, Shape{2, 2}, &i).value()};
  for (int64_t k = 0; k < x.elements(); ++k) StoreDouble(x, k, 0.1 * static_cast<double>(k));
  for (int64_t k = 0; k < i.elements(); ++k) StoreInt(i, k, k);
  const auto want = passes::Interpret(*before, inputs);
  const auto got = passes::Interpret(*graph, inputs);
  ASSERT_TRUE(want.ok() && got.ok()) << got.status().ToString();
  EXPECT_TRUE(std::ranges::equal((*got)[0].bytes(), (*want)[0].bytes()));
}

TEST(AllowsTf32, RefusesAValueThatItDoesNotKnow) {
  EXPECT_FALSE(ops::AllowsTf32(Attrs()).value());
  EXPECT_EQ(ops::AllowsTf32(Attrs({{"math", std::string("tf64")}})).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::quant
