// Plans and headers for people (text) and programs (JSON): what `fusee inspect` shows.
#pragma once

#include <span>
#include <string>

#include "plan/header.h"
#include "plan/plan.h"

namespace fusee::plan {

// Detail of a plan's listing.
struct PrintOptions {
  bool steps = true;     // the step list
  bool tensors = false;  // every tensor with region, offset, capacity
  bool tried = false;    // the tactics looked at for every step, with verdicts and times
  bool fusions = true;   // made and declined
};

// "[batch,1,8,8]": dimensions in the symbols' names. Precondition: verified plan.
std::string ShapeText(const Plan& plan, const TensorDef& tensor);
std::string DimText(const Plan& plan, uint32_t dim);

// "max abs error 0.0002 beside values up to 1.2e+03", of the comparison with the largest error; a
// number alone says nothing. corners: Certificate::corners, or some like them.
std::string WorstErrorText(std::span<const VerifiedCorner> corners);
double WorstAbsError(std::span<const VerifiedCorner> corners);

std::string HeaderText(const Header& header);
std::string HeaderJson(const Header& header);
// Preconditions: verified plan. Deterministic.
std::string PlanText(const Plan& plan, const PrintOptions& options = {});
std::string PlanJson(const Plan& plan, const PrintOptions& options = {});

}  // namespace fusee::plan
