#include "cli/conform_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

CaseFacts Facts(std::string op, int64_t opset) {
  return {"ai.onnx", std::move(op), opset, opset, true, true};
}

TEST(ConformTable, SubsetsAreBoundedByOpsetDomainAndTypes) {
  EXPECT_TRUE(Facts("Add", 22).In(Subset::kS1));
  EXPECT_FALSE(Facts("Add", 23).In(Subset::kS1));
  EXPECT_TRUE(Facts("Add", 26).In(Subset::kS2));
  EXPECT_FALSE(Facts("Add", 27).In(Subset::kS2));
  CaseFacts other = Facts("Add", 14);
  other.only_onnx = false;
  EXPECT_FALSE(other.In(Subset::kS1));
  CaseFacts rare = Facts("Add", 14);
  rare.common_types = false;
  EXPECT_FALSE(rare.In(Subset::kS2));
  EXPECT_EQ(ParseSubset("S2"), Subset::kS2);
  EXPECT_FALSE(ParseSubset("S3"));
}

TEST(ConformTable, ReasonsLeaveOutWhatIsTheModelsOwn) {
  EXPECT_EQ(ReasonOf("UNIMPLEMENTED: node 'a_0' (Cast, opset 25): casts to int2; operands: f32[2]"),
            "casts to int2");
  EXPECT_EQ(ReasonOf("UNIMPLEMENTED: node 'If_0': operator If is not supported; operands: none"),
            "operator If is not supported");
  EXPECT_EQ(ReasonOf("UNIMPLEMENTED: model input 'x' is int2, which Fusee does not take; cut it"),
            "model input is int2, which Fusee does not take");
}

TEST(ConformTable, CountsByOperatorAndOpset) {
  const TableRow rows[] = {
      {Facts("Add", 14), {Verdict::kPassed, ""}},
      {Facts("Add", 14), {Verdict::kRefused, "UNIMPLEMENTED: node 'n' (Add, opset 14): no | u4"}},
      {Facts("Add", 13), {Verdict::kPassed, ""}},
      {Facts("If", 26), {Verdict::kRefused, "UNIMPLEMENTED: node 'i': operator If is not"}}};
  const std::string text = ConformanceTable(rows);
  EXPECT_THAT(text, HasSubstr("| Add | 13 | 1 | 0 |  |\n"));
  EXPECT_THAT(text, HasSubstr("| Add | 14 | 1 | 1 | no \\| u4 |\n"));
  EXPECT_THAT(text, HasSubstr("| 2 of 3 | 1 | 0 | 0 |"));  // S1
  EXPECT_THAT(text, HasSubstr("| all | 2 of 4 | 2 | 0 | 0 |"));
  EXPECT_THAT(text, Not(HasSubstr("**")));
}

TEST(ConformTable, WhatIsWrongStandsOut) {
  const TableRow rows[] = {{Facts("Add", 14), {Verdict::kWrong, "output 'y': 1 differs"}}};
  EXPECT_THAT(ConformanceTable(rows), HasSubstr("**1 wrong**"));
}

}  // namespace
}  // namespace fusee::cli
