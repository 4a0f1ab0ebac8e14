// Einsum: how equations read, and what import makes of them. That the results are right is for the
// conformance cases, which run the graphs.
#include "ops/movement/einsum_equation.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

// "ij,jk->ik", with digits for what an ellipsis stands for; or the error's code.
std::string Read(std::string_view text, std::vector<int> ranks) {
  const auto equation = ParseEinsumEquation(text, ranks);
  if (!equation.ok()) {
    return equation.status().code() == StatusCode::kUnimplemented ? "refused" : "error";
  }
  const auto spell = [](const std::vector<AxisLabel>& labels) {
    std::string letters;
    for (const AxisLabel label : labels) {
      letters.push_back(
          static_cast<char>(label < kEllipsisLabel ? label : '0' + (label - kEllipsisLabel)));
    }
    return letters;
  };
  std::string line;
  for (size_t i = 0; i < ranks.size(); ++i)
    line += (i == 0 ? "" : ",") + spell(equation->operands[i]);
  return line + "->" + spell(equation->result);
}

TEST(EinsumEquation, ReadsExplicitResults) {
  EXPECT_EQ(Read("ij,jk->ik", {2, 2}), "ij,jk->ik");
  EXPECT_EQ(Read(" b i j ,bjk -> bik", {3, 3}), "bij,bjk->bik");
  EXPECT_EQ(Read("->", {0}), "->");
  EXPECT_EQ(Read(",->", {0, 0}), ",->");
  EXPECT_EQ(Read("ii->i", {2}), "ii->i");
}

TEST(EinsumEquation, MakesImplicitResultsInAsciiOrder) {
  EXPECT_EQ(Read("ij,jk", {2, 2}), "ij,jk->ik");
  EXPECT_EQ(Read("bA", {2}), "bA->Ab");
  EXPECT_EQ(Read("ii", {2}), "ii->");
  EXPECT_EQ(Read("b...a", {4}), "b01a->01ab");
  EXPECT_EQ(Read("", {0}), "->");
}

TEST(EinsumEquation, LetsEveryEllipsisStandForTheSameAxes) {
  EXPECT_EQ(Read("...ij,...jk->...ik", {4, 4}), "01ij,01jk->01ik");
  EXPECT_EQ(Read("...,a->a...", {0, 1}), ",a->a");
  EXPECT_EQ(Read("...i,...i->...", {3, 2}), "error");
  EXPECT_EQ(Read("...i->i", {2}), "refused");
  EXPECT_EQ(Read("...i->i", {1}), "i->i");
}

TEST(EinsumEquation, RefusesWhatIsNone) {
  EXPECT_EQ(Read("ij", {3}), "error");
  EXPECT_EQ(Read("ij", {1}), "error");
  EXPECT_EQ(Read("...ij", {1}), "error");
  EXPECT_EQ(Read("ij,jk", {2}), "error");
  EXPECT_EQ(Read("ij", {2, 2}), "error");
  EXPECT_EQ(Read("ij->ii", {2}), "error");
  EXPECT_EQ(Read("ij->ik", {2}), "error");
  EXPECT_EQ(Read("ij->...i", {2}), "error");
  EXPECT_EQ(Read("i..j", {2}), "error");
  EXPECT_EQ(Read("......", {2}), "error");
  EXPECT_EQ(Read("i->j->i", {1}), "error");
  EXPECT_EQ(Read("i1", {2}), "error");
}

Result<ir::ValueId> Einsum(H& h, const char* equation, std::vector<ir::ValueId> inputs) {
  auto ids = h.TryImport("Einsum", 12, std::move(inputs), H::Attrs(H::Attr("equation", equation)));
  if (!ids.ok()) return ids.status();
  return (*ids)[0];
}

std::string Shape(H& h, const char* equation, std::vector<ir::ValueId> inputs) {
  const auto id = Einsum(h, equation, std::move(inputs));
  EXPECT_TRUE(id.ok()) << equation << ": " << id.status().ToString();
  return id.ok() ? h.Shape(*id) : "";
}

std::string Ops(const ir::Graph& graph) {
  std::string names;
  for (const ir::NodeId id : graph.order()) names += (names.empty() ? "" : " ") + graph.node(id).op;
  return names;
}

TEST(EinsumDef, IsOneMatMulWhereItIsOne) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId a = h.Input("a", DType::kF32, {n, 2, 3}),
                    b = h.Input("b", DType::kF32, {n, 3, 4});
  EXPECT_EQ(Shape(h, "bij,bjk->bik", {a, b}), "[n,2,4]");
  EXPECT_EQ(Ops(h.graph), "MatMul");
}

TEST(EinsumDef, SumsMultipliesAndPermutes) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), s = h.Symbol("s", 1, 64);
  const ir::ValueId q = h.Input("q", DType::kF16, {n, s, 4, 16});
  const ir::ValueId k = h.Input("k", DType::kF16, {n, s, 4, 16});
  EXPECT_EQ(Shape(h, "bqhd,bkhd->bhqk", {q, k}), "[n,4,s,s]");
  EXPECT_EQ(Shape(h, "...hd->...dh", {q}), "[n,s,16,4]");
  EXPECT_EQ(Shape(h, "bshd->", {q}), "[]");
  EXPECT_EQ(Shape(h, "bshd,bshd->bsh", {q, k}), "[n,s,4]");
  const ir::ValueId v = h.Input("v", DType::kF16, {s}), w = h.Input("w", DType::kF16, {4});
  EXPECT_EQ(Shape(h, "s,h->hs", {v, w}), "[4,s]");
  EXPECT_EQ(Shape(h, "bshd,s,h->bd", {q, v, w}), "[n,16]");
  EXPECT_EQ(Shape(h, "s", {v}), "[s]");
  EXPECT_TRUE(h.graph.constraints().empty());
}

TEST(EinsumDef, TakesDiagonalsOfSymbolicSizes) {
  H h;
  const ir::Dim n = h.Symbol("n", 0, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 3, n});
  EXPECT_EQ(Shape(h, "iji->ij", {x}), "[n,3]");
  EXPECT_EQ(Shape(h, "iji", {x}), "[3]");
  const ir::ValueId cube = h.Input("cube", DType::kF32, {3, 3, 3});
  EXPECT_EQ(Shape(h, "iii->i", {cube}), "[3]");
  EXPECT_TRUE(h.graph.constraints().empty());
}

TEST(EinsumDef, BroadcastsOnesAndHoldsTheRestEqual) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), m = h.Symbol("m", 1, 8);
  const ir::ValueId a = h.Input("a", DType::kF32, {n, 3}),
                    one = h.Input("one", DType::kF32, {1, 4});
  EXPECT_EQ(Shape(h, "ij,jk->ik", {a, one}), "[n,4]");
  EXPECT_EQ(Shape(h, "ij,ji->ij", {a, h.Input("b", DType::kF32, {3, 1})}), "[n,3]");
  EXPECT_TRUE(h.graph.constraints().empty());
  EXPECT_EQ(Shape(h, "ij,ij->ij", {a, h.Input("c", DType::kF32, {m, 3})}), "[n,3]");
  EXPECT_FALSE(h.graph.constraints().empty());
  // Equal products of sizes do not make equal sizes.
  const ir::ValueId p = h.Input("p", DType::kF32, {2, 3}), q = h.Input("q", DType::kF32, {3, 2});
  EXPECT_EQ(Einsum(h, "ij,ij->", {p, q}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Einsum(h, "ii->i", {p}).status().code(), StatusCode::kInvalidArgument);
}

TEST(EinsumDef, KeepsTheTypeOfNarrowIntegers) {
  for (const DType dtype :
       {DType::kI8, DType::kU8, DType::kI16, DType::kU16, DType::kI32, DType::kU32, DType::kI64,
        DType::kU64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    H h;
    const ir::ValueId x = h.Input("x", dtype, {2, 3}), y = h.Input("y", dtype, {3, 4});
    const auto id = Einsum(h, "ij,jk->ki", {x, y});
    ASSERT_TRUE(id.ok()) << DTypeName(dtype) << ": " << id.status().ToString();
    EXPECT_EQ(h.graph.value(*id).info.dtype, dtype);
    EXPECT_EQ(h.Shape(*id), "[4,2]");
  }
}

TEST(EinsumDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 3});
  EXPECT_EQ(Einsum(h, "ij,jk", {x, h.Input("d", DType::kF64, {3, 4})}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Einsum(h, "i", {h.Input("b", DType::kBool, {3})}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Einsum(h, "...j->j", {x}).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(h.TryImport("Einsum", 12, {x}).status().code(), StatusCode::kInvalidArgument);
  // A result of rank 9.
  const ir::ValueId y = h.Input("y", DType::kF32, {1, 2, 2, 2, 2});
  const ir::ValueId z = h.Input("z", DType::kF32, {2, 2, 2, 2});
  EXPECT_EQ(Einsum(h, "abcde,fghi->abcdefghi", {y, z}).status().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::ops
