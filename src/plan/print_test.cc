#include "plan/print.h"

#include <gtest/gtest.h>

namespace fusee::plan {
namespace {

VerifiedCorner Corner(double error, double value) {
  VerifiedCorner corner;
  corner.max_abs_error = error;
  corner.max_abs_value = value;
  return corner;
}

TEST(WorstErrorText, ShowsTheErrorBesideItsOwnScale) {
  const std::vector<VerifiedCorner> corners = {Corner(1e-6, 2), Corner(2.75e-4, 1234),
                                               Corner(0, 1e9)};
  EXPECT_EQ(WorstErrorText(corners), "max abs error 0.000275 beside values up to 1.23e+03");
  EXPECT_EQ(WorstAbsError(corners), 2.75e-4);
}

TEST(WorstErrorText, OfEqualErrorsTheLargestScaleIsShown) {
  const std::vector<VerifiedCorner> corners = {Corner(0, 2), Corner(0, 17), Corner(0, 3)};
  EXPECT_EQ(WorstErrorText(corners), "max abs error 0 beside values up to 17");
}

TEST(WorstErrorText, WithoutAScaleTheErrorStandsAlone) {
  const std::vector<VerifiedCorner> corners = {Corner(0.5, 0)};
  EXPECT_EQ(WorstErrorText(corners), "max abs error 0.5");
  EXPECT_EQ(WorstErrorText({}), "max abs error 0");
}

}  // namespace
}  // namespace fusee::plan
