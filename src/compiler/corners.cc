#include "compiler/corners.h"

#include <algorithm>

#include "plan/dims.h"
#include "runtime/golden.h"

namespace fusee::compiler {
namespace {

// What an element costs beside a multiply-accumulate: reading, converting, storing.
constexpr double kOperationsPerElement = 8;

// Multiply-accumulates for one result element of a step; 0 for operators that have none.
double MacsPerElement(const plan::Step& step, const Shape& a, const Shape& b) {
  if (step.op == "MatMul") return a.rank() > 0 ? static_cast<double>(a[a.rank() - 1]) : 0;
  if (step.op == "Conv") return b.rank() > 1 ? static_cast<double>(b.elements(1, b.rank())) : 0;
  if (step.op == "Gemm" && a.rank() == 2) {
    const auto transposed = step.attrs.Int("transA", 0);
    return static_cast<double>(a[transposed.ok() && *transposed ? 0 : 1]);
  }
  return 0;
}

}  // namespace

std::vector<std::vector<int64_t>> ProfileCorners(const plan::Plan& plan) {
  std::vector<int64_t> low, high, opt, halfway;
  for (const plan::Symbol& s : plan.symbols) {
    low.push_back(s.min);
    high.push_back(s.max);
    opt.push_back(s.opt);
    halfway.push_back(s.min + (s.max - s.min) / 2);
  }
  std::vector<std::vector<int64_t>> corners = {low};
  if (high != low) corners.push_back(high);
  std::vector<std::vector<int64_t>> middles = {opt};
  if (!plan.buckets.empty()) middles.push_back(plan.buckets[plan.buckets.size() / 2].symbol_values);
  middles.push_back(halfway);
  for (auto& middle : middles) {
    if (std::ranges::find(corners, middle) != corners.end()) continue;
    corners.push_back(std::move(middle));
    break;
  }
  return corners;
}

Result<double> OperationsAt(const plan::Plan& plan, const std::vector<int64_t>& symbol_values) {
  std::vector<int64_t> dims(plan.dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan.dims, symbol_values, dims));
  std::vector<Shape> shapes;
  double operations = 0;
  for (const plan::TensorDef& t : plan.tensors) {
    FUSEE_TRY(Shape shape, plan::ShapeOf(t, dims));
    if (t.region != plan::Region::kWeights)
      operations += kOperationsPerElement * static_cast<double>(shape.elements());
    shapes.push_back(shape);
  }
  for (const plan::Step& step : plan.steps) {
    if (step.inputs.size() < 2 || step.inputs[0] == plan::kNoTensor ||
        step.inputs[1] == plan::kNoTensor)
      continue;
    if (step.outputs.empty() || step.outputs[0] == plan::kNoTensor) continue;
    operations += MacsPerElement(step, shapes[step.inputs[0]], shapes[step.inputs[1]]) *
                  static_cast<double>(shapes[step.outputs[0]].elements());
  }
  return operations;
}

Result<Fill> RunOrdinary(runtime::Context& context, const std::vector<int64_t>& symbol_values,
                         uint64_t seed) {
  Status refused;
  for (const Fill fill : {Fill::kUniform, Fill::kConstant, Fill::kSignedZeros, Fill::kTiny}) {
    FUSEE_TRY(runtime::FillInputs(context, symbol_values, fill, seed));
    refused = context.Run();
    if (refused.ok()) return fill;
  }
  return std::move(refused).Annotate(
      "no inputs that the builder makes up run on this model, so nothing can be tried; the last");
}

Result<Subject> OpenSubject(std::shared_ptr<const plan::Plan> plan, Parallel* parallel,
                            const RunTarget& where) {
  runtime::LoadOptions load;
  load.replay_golden = false;
  load.parallel = parallel;
  load.device = where.device;
  load.kernels = where.kernels;
  FUSEE_TRY(auto loaded, runtime::LoadedPlan::FromPlan(plan, load));
  FUSEE_TRY(auto context, runtime::Context::Create(loaded, {.parallel = parallel}));
  return Subject{std::move(plan), std::move(context)};
}

}  // namespace fusee::compiler
