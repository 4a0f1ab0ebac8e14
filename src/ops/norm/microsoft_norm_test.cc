// Import rules of com.microsoft's normalisations. Values are compared by tests/ops_oracle_test.py.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

ImportCase& Skip(ImportCase& c) {
  return c.Domain("com.microsoft")
      .Input({Sym("b"), Sym("s"), 8})
      .Input({Sym("b"), Sym("s"), 8})
      .Input({8});
}

TEST(ImportSkipLayerNormalization, IsASumAndANorm) {
  ImportCase c("SkipLayerNormalization", 1);
  Skip(c).Input({8}).Input({8}).Outputs({"y", "", "", "sum"});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Operators(), "Add Add LayerNormalization");
  EXPECT_EQ(*c.attrs().Float("epsilon", 0), static_cast<double>(1e-12f));
  EXPECT_EQ(*c.attrs().Int("axis", -1), 2);
  EXPECT_EQ(c.Shape(3), "[b,s,8]");
  ImportCase statistics("SkipLayerNormalization", 1);
  ASSERT_TRUE(Skip(statistics).Outputs({"y", "mean"}).Run().ok());
  EXPECT_FALSE(statistics.Gave(1)) << "which the importer refuses";
  ImportCase high("SkipLayerNormalization", 1);
  high.Domain("com.microsoft").Input({2, 8}).Input({1, 2, 8}).Input({8});
  EXPECT_EQ(high.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportSkipSimplifiedLayerNormalization, HasItsBiasElsewhere) {
  ImportCase c("SkipSimplifiedLayerNormalization", 1);
  ASSERT_TRUE(Skip(c).Input({8}).Float("epsilon", 0.5f).Run().ok());
  EXPECT_EQ(c.Operators(), "Add Add RMSNormalization");
  EXPECT_EQ(*c.attrs().Float("epsilon", 0), 0.5);
}

TEST(ImportSimplifiedLayerNormalization, InBothDomains) {
  for (std::string_view domain : {"", "com.microsoft"}) {
    ImportCase c("SimplifiedLayerNormalization", 17);
    ASSERT_TRUE(
        c.Domain(domain).Input({Sym("b"), 3, 8}).Input({8}).Int("stash_type", 1).Run().ok());
    EXPECT_EQ(c.Operators(), "RMSNormalization");
    EXPECT_EQ(*c.attrs().Float("epsilon", 0), static_cast<double>(1e-5f));
  }
  ImportCase stash("SimplifiedLayerNormalization", 17);
  EXPECT_EQ(stash.Input({3, 8}).Input({8}).Int("stash_type", 10).Run().code(),
            StatusCode::kUnimplemented);
}

ImportCase& Embed(ImportCase& c, bool segments) {
  c.Domain("com.microsoft").Input({Sym("b"), Sym("s")}, DType::kI32);
  if (segments) {
    c.Input({Sym("b"), Sym("s")}, DType::kI32);
  } else {
    c.Absent();
  }
  return c.Input({100, 8}).Input({50, 8});
}

TEST(ImportEmbedLayerNormalization, LooksUpAndCounts) {
  ImportCase c("EmbedLayerNormalization", 1);
  Embed(c, true).Input({2, 8}).Input({8}).Input({8}).Input({Sym("b"), Sym("s")}, DType::kI32);
  ASSERT_TRUE(c.Outputs({"y", "count", "sum"}).Run().ok());
  EXPECT_EQ(c.Shape(0), "[b,s,8]");
  EXPECT_EQ(c.Shape(1), "[b]");
  EXPECT_EQ(c.Type(1), DType::kI32);
  EXPECT_EQ(c.Shape(2), "[b,s,8]");
  ImportCase plain("EmbedLayerNormalization", 1);
  ASSERT_TRUE(Embed(plain, false).Absent().Input({8}).Input({8}).Run().ok());
  EXPECT_EQ(plain.Operators(), "Range Gather Gather Add LayerNormalization");
  ImportCase half("EmbedLayerNormalization", 1);
  EXPECT_EQ(Embed(half, true).Absent().Input({8}).Input({8}).Run().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
