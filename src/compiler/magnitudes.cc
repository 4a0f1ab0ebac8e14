#include "compiler/magnitudes.h"

#include <algorithm>
#include <cmath>

#include "compiler/corners.h"
#include "compiler/emit.h"
#include "compiler/lower_if.h"
#include "compiler/select.h"
#include "runtime/golden.h"
#include "tensor/half.h"

namespace fusee::compiler {
namespace {

constexpr uint64_t kSeed = 20;
constexpr Fill kFills[] = {Fill::kUniform, Fill::kConstant};

class Watcher final : public runtime::StepHook {
 public:
  Watcher(const plan::Plan& plan, quant::Magnitudes* seen) : plan_(plan), seen_(seen) {}

  void OnStep(const runtime::StepEvent& event) override {
    const plan::Step& step = plan_.steps[event.step];
    for (size_t i = 0; i < event.outputs.size(); ++i) {
      const TensorView& view = event.outputs[i];
      if (view.dtype != DType::kF32) continue;
      double largest = 0;
      const float* x = view.as<float>();
      for (int64_t k = 0; k < view.elements(); ++k) {
        // Not a number stays out of it: the value is as harmful in float32.
        const double magnitude = std::fabs(static_cast<double>(x[k]));
        if (magnitude > largest) largest = magnitude;
      }
      double& known = (*seen_)[plan_.tensors[step.outputs[i]].name];
      known = std::max(known, largest);
    }
  }

 private:
  const plan::Plan& plan_;
  quant::Magnitudes* seen_;
};

}  // namespace

Result<quant::Magnitudes> MeasureMagnitudes(const ImportedModel& model, const ir::Graph& graph,
                                            Parallel* parallel) {
  const std::unique_ptr<ir::Graph> copy = ir::Clone(graph);
  FUSEE_TRY(LowerIf(*copy));
  FUSEE_TRY(SeparateOutputs(*copy));
  FUSEE_TRY(std::vector<SelectedNode> selection, SelectKernels(*copy, {.max_isa = HostCpu().isa}));
  FUSEE_TRY(plan::Plan plan, EmitPlan(model, *copy, selection, {.in_place = true}));
  FUSEE_TRY(Subject subject,
            OpenSubject(std::make_shared<const plan::Plan>(std::move(plan)), parallel));
  quant::Magnitudes seen;
  Watcher watcher(*subject.plan, &seen);
  subject.context->SetStepHook(&watcher);
  const std::vector<int64_t>& smallest = subject.plan->buckets.front().symbol_values;
  for (Fill fill : kFills) {
    FUSEE_TRY(runtime::FillInputs(*subject.context, smallest, fill, kSeed));
    // Inputs that a model refuses (an index too large) tell nothing; the others still do.
    (void)subject.context->Run();
  }
  return seen;
}

}  // namespace fusee::compiler
