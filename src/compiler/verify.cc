#include "compiler/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "compiler/batch_rows.h"
#include "compiler/corners.h"
#include "compiler/difference.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::compiler {
namespace {

// Copies of intermediate tensors kept to find the guilty step stop here.
constexpr size_t kMaxTraceBytes = size_t{2} << 30;

struct Corner {
  std::vector<int64_t> values;
  Fill fill;
  uint64_t seed = kVerifySeed;
};

// Other ordinary values that are tried where some condition was not met.
constexpr uint64_t kCourseSeedsMax = 16;

// Ordinary values everywhere first, then adversarial ones from the cheapest corner on: what a short
// budget buys. Large values leave the range of f16 on the way; a plan that computes in it is not
// measured by them.
std::vector<Corner> Schedule(const plan::Plan& plan, Reduced reduced) {
  std::vector<Corner> schedule;
  const auto corners = ProfileCorners(plan);
  for (const auto& c : corners) schedule.push_back({c, Fill::kUniform});
  for (const auto& c : corners) {
    for (Fill fill : {Fill::kSignedZeros, Fill::kTiny, Fill::kLarge, Fill::kConstant}) {
      if (fill != Fill::kLarge || reduced != Reduced::kF16) schedule.push_back({c, fill});
    }
  }
  return schedule;
}

// Before the first comparison: a reference kernel's multiply-accumulate in double, one thread.
constexpr double kAssumedNsPerOperation = 1.0;

// Operators whose results jump where their operands move a little.
constexpr std::string_view kDiscontinuous[] = {"QuantizeLinear",
                                               "DynamicQuantizeLinear",
                                               "Round",
                                               "Floor",
                                               "Ceil",
                                               "Sign",
                                               "Mod",
                                               "Cast",
                                               "ArgMax",
                                               "ArgMin",
                                               "TopK",
                                               "NonZero",
                                               "NonMaxSuppression",
                                               "Unique",
                                               "Equal",
                                               "Less",
                                               "LessOrEqual",
                                               "Greater",
                                               "GreaterOrEqual",
                                               "Hardmax",
                                               "ThresholdedRelu",
                                               "Shrink",
                                               "GridSample",
                                               "RoiAlign",
                                               "MaxRoiPool"};
// What such a jump may look like at an output: few elements, or a small part of the whole.
constexpr double kAmplifiedShare = 0.02;
constexpr double kAmplifiedL2 = 0.02;

// Which steps ran at all, of those with guards.
class Courses final : public runtime::StepHook {
 public:
  explicit Courses(const plan::Plan& plan) : plan_(plan), ran_(plan.steps.size()) {}
  void OnStep(const runtime::StepEvent& event) override { ran_[event.step] = true; }

  // In words, those that did not; empty: none.
  std::string Untried() const {
    constexpr size_t kMaxNamed = 4;
    std::vector<std::string> names;
    size_t steps = 0;
    for (size_t i = 0; i < ran_.size(); ++i) {
      const plan::Step& step = plan_.steps[i];
      if (ran_[i] || step.guards.empty()) continue;
      ++steps;
      if (names.size() < kMaxNamed)
        names.push_back(fmt::format("{} ({})", step.op, fmt::join(step.sources, ", ")));
    }
    if (steps == 0) return "";
    return fmt::format(
        "no input that was tried meets the conditions of {} steps, which were not compared with "
        "the "
        "reference: {}{}",
        steps, fmt::join(names, ", "), steps > names.size() ? ", ..." : "");
  }

 private:
  const plan::Plan& plan_;
  std::vector<bool> ran_;
};

// Keeps a copy of every step's results by name.
class Trace final : public runtime::StepHook {
 public:
  explicit Trace(const plan::Plan& plan) : plan_(plan) {
    for (const plan::Step& step : plan.steps) {
      for (const plan::Guard& guard : step.guards) guards_.insert(guard.tensor);
    }
  }
  void OnStep(const runtime::StepEvent& event) override {
    const plan::Step& step = plan_.steps[event.step];
    if (step.op == "Where" && guards_.contains(step.inputs[0]))
      taken_[plan_.tensors[step.outputs[0]].name] = IntAt(event.inputs[0], 0) != 0;
    for (size_t i = 0; i < event.outputs.size(); ++i) {
      const TensorView& view = event.outputs[i];
      if (!view.present() || bytes_ + static_cast<size_t>(view.size_bytes()) > kMaxTraceBytes)
        continue;
      TensorView copy;
      auto tensor = Tensor::Allocate(view.dtype, view.shape, &copy);
      if (!tensor.ok()) continue;
      if (view.size_bytes() > 0) std::memcpy(copy.data, view.data, view.bytes().size());
      bytes_ += view.bytes().size();
      const std::string& name = plan_.tensors[step.outputs[i]].name;
      order_.push_back({name, event.step});
      tensors_.insert_or_assign(name, std::move(tensor).value());
    }
  }
  const std::vector<std::pair<std::string, size_t>>& order() const { return order_; }
  const Tensor* Find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
  }
  // What a condition chose, of two runs that went different ways; empty when they went the same.
  std::string PartsFrom(const Trace& other) const {
    for (const auto& [name, taken] : taken_) {
      const auto it = other.taken_.find(name);
      if (it != other.taken_.end() && it->second != taken) return name;
    }
    return "";
  }

 private:
  const plan::Plan& plan_;
  size_t bytes_ = 0;
  std::vector<std::pair<std::string, size_t>> order_;
  std::map<std::string, Tensor> tensors_;
  std::set<uint32_t> guards_;          // tensors
  std::map<std::string, bool> taken_;  // the condition, by the name of what it chose
};

class Verifier {
 public:
  Verifier(Subject candidate, Subject reference, const Clock& clock, double budget_s)
      : candidate_(std::move(candidate)),
        reference_(std::move(reference)),
        clock_(clock),
        courses_(*candidate_.plan),
        budget_(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(budget_s))) {}

  Result<VerifyOutcome> Run() {
    start_ = clock_.Now();
    outcome_.passed = true;
    outcome_.reduced = ReducedPrecision(*candidate_.plan, *reference_.plan);
    guarded_ = std::ranges::any_of(candidate_.plan->steps,
                                   [](const plan::Step& step) { return !step.guards.empty(); });
    if (guarded_) candidate_.context->SetStepHook(&courses_);
    const std::vector<Corner> schedule = Schedule(*candidate_.plan, outcome_.reduced);
    for (const Corner& corner : schedule) FUSEE_TRY(CompareInBudget(corner));
    for (uint64_t i = 1; guarded_ && i <= kCourseSeedsMax; ++i) {
      if (outcome_.skipped > 0 || courses_.Untried().empty()) break;
      Corner corner = schedule.front();
      corner.seed += i;
      FUSEE_TRY(CompareInBudget(corner));
    }
    if (outcome_.passed && outcome_.corners.empty() && outcome_.to_sample.empty()) {
      FUSEE_TRY(
          Fail("the model refused every input that was tried, so nothing could be compared: " +
               outcome_.refused_alike));
    }
    if (guarded_) outcome_.untried = courses_.Untried();
    candidate_.context->SetStepHook(nullptr);
    if (outcome_.passed) {
      FUSEE_TRY(BatchRows rows, CheckBatchRows(candidate_, reference_));
      outcome_.batch_checked = rows.checked;
      outcome_.batch_invariant = rows.invariant;
      outcome_.batch_note = std::move(rows.note);
      if (!rows.failure.empty()) FUSEE_TRY(Fail(std::move(rows.failure)));
    }
    return std::move(outcome_);
  }

 private:
  std::string Describe(const Corner& corner) const {
    return fmt::format("{} inputs at {}", FillName(corner.fill),
                       DescribePoint(*candidate_.plan, corner.values));
  }

  Status CompareInBudget(const Corner& corner) {
    if (!outcome_.passed) return OkStatus();
    FUSEE_TRY(double operations, OperationsAt(*reference_.plan, corner.values));
    const TimePoint before = clock_.Now();
    if (before - start_ + Duration(static_cast<int64_t>(ns_per_operation_ * operations)) >
        budget_) {
      ++outcome_.skipped;
      if (corner.fill == Fill::kUniform)
        outcome_.to_sample.push_back({corner.values, corner.fill, corner.seed, ""});
      return OkStatus();  // a later corner may be cheaper
    }
    Status status = CompareCorner(corner);
    if (!status.ok()) return std::move(status).Annotate(Describe(corner));
    ns_per_operation_ =
        static_cast<double>((clock_.Now() - before).count()) / std::max(operations, 1.0);
    return OkStatus();
  }

  static Status RunOnce(Subject& subject, const Corner& corner) {
    FUSEE_TRY(runtime::FillInputs(*subject.context, corner.values, corner.fill, corner.seed));
    return subject.context->Run();
  }

  // Both sides must succeed, or both refuse the data (an index out of range, a division by zero).
  Status CompareCorner(const Corner& corner) {
    Status want = RunOnce(reference_, corner);
    Status got = RunOnce(candidate_, corner);
    if (!want.ok() && !got.ok()) {
      if (outcome_.refused_alike.empty())
        outcome_.refused_alike = Describe(corner) + ": " + want.message();
      return OkStatus();
    }
    FUSEE_TRY(std::move(want).Annotate("the reference"));
    FUSEE_TRY(std::move(got));
    for (size_t i = 0; i < candidate_.context->output_count(); ++i) {
      const ConstTensorView a = candidate_.context->output(i);
      const ConstTensorView b = reference_.context->output(i);
      const std::string& name = candidate_.plan->outputs[i].name;
      if (a.dtype != b.dtype || !(a.shape == b.shape)) {
        std::string why =
            fmt::format("{}: output '{}' is {}, the reference gives {}", Describe(corner), name,
                        fusee::Describe(a.dtype, a.shape), fusee::Describe(b.dtype, b.shape));
        // How many there are may hang on the last bit of a value: then each step is looked at
        // alone.
        if (a.dtype != b.dtype || reference_.plan->counts.empty()) return Fail(std::move(why));
        outcome_.to_sample.push_back({corner.values, corner.fill, corner.seed, std::move(why)});
        return OkStatus();
      }
      const Difference d = CompareWithReference(a, b, outcome_.reduced);
      outcome_.corners.push_back({corner.values, corner.fill, name, false, b.elements(), d.max_abs,
                                  d.max_rel, d.max_abs_want});
      if (d.mismatches > 0) {
        const std::string where = fmt::format(
            "{}: output '{}' differs in {} of {} elements, first at flat index {}: "
            "expected {:.9g}, got {:.9g}",
            Describe(corner), name, d.mismatches, b.elements(), d.first, d.want, d.got);
        FUSEE_TRY(const Cause cause, FindCause(corner));
        if (!MayBeAmplifiedRounding(d) && !cause.other_course) return Fail(where + cause.text);
        outcome_.corners.pop_back();
        outcome_.to_sample.push_back({corner.values, corner.fill, corner.seed, where + cause.text});
        return OkStatus();
      }
    }
    return OkStatus();
  }

  // A correct plan may differ here: the model rounds, compares or sorts what it computed, so that a
  // last-bit difference before becomes a whole step after; and all in all the outputs are close.
  // Whether it is so, the caller finds out step by step.
  bool MayBeAmplifiedRounding(const Difference& d) const {
    const bool has_steps = std::ranges::any_of(reference_.plan->steps, [](const plan::Step& step) {
      return std::ranges::find(kDiscontinuous, step.op) != std::end(kDiscontinuous);
    });
    return has_steps && (static_cast<double>(d.mismatches) <=
                             kAmplifiedShare * static_cast<double>(d.elements) ||
                         d.relative_l2 <= kAmplifiedL2);
  }

  Status Fail(std::string why) {
    outcome_.passed = false;
    outcome_.failure = std::move(why);
    return OkStatus();
  }

  struct Cause {
    std::string text;
    bool other_course = false;  // a condition hangs on the last bit of a value
  };

  // Runs both once more, keeping every result, and names the first step of the plan whose result
  // differs from the reference's value of the same name (passes keep ONNX's names), or a condition
  // that was met in one of both only.
  Result<Cause> FindCause(const Corner& corner) {
    Trace got(*candidate_.plan), want(*reference_.plan);
    candidate_.context->SetStepHook(&got);
    reference_.context->SetStepHook(&want);
    Status a = RunOnce(candidate_, corner);
    Status b = RunOnce(reference_, corner);
    candidate_.context->SetStepHook(guarded_ ? &courses_ : nullptr);
    reference_.context->SetStepHook(nullptr);
    FUSEE_TRY(std::move(a));
    FUSEE_TRY(std::move(b));
    if (const std::string name = got.PartsFrom(want); !name.empty()) {
      return Cause{
          fmt::format("; the condition that chooses '{}' is met in one of both only", name), true};
    }
    for (const auto& [name, step_index] : got.order()) {
      const Tensor* mine = got.Find(name);
      const Tensor* theirs = want.Find(name);
      if (theirs == nullptr || mine->dtype() != theirs->dtype() ||
          !(mine->shape() == theirs->shape()))
        continue;
      if (CompareWithReference(mine->view(), theirs->view(), outcome_.reduced).mismatches == 0)
        continue;
      const plan::Step& step = candidate_.plan->steps[step_index];
      return Cause{
          fmt::format("; the first step that differs is {} '{}' (kernel {}, from ONNX nodes {})",
                      step.op, name, step.kernel, fmt::join(step.sources, ", "))};
    }
    return Cause{"; no single step could be named"};
  }

  Subject candidate_, reference_;
  const Clock& clock_;
  Courses courses_;
  bool guarded_ = false;  // the candidate has conditions, and courses_ watches
  Duration budget_;
  TimePoint start_;
  double ns_per_operation_ = kAssumedNsPerOperation;
  VerifyOutcome outcome_;
};

}  // namespace

std::string_view FillName(Fill fill) {
  switch (fill) {
    case Fill::kUniform: return "uniform";
    case Fill::kLarge: return "large";
    case Fill::kTiny: return "tiny";
    case Fill::kSignedZeros: return "signed-zero";
    case Fill::kConstant: return "constant";
  }
  return "unknown";
}

std::string DescribePoint(const plan::Plan& plan, std::span<const int64_t> symbol_values) {
  if (symbol_values.empty()) return "the one static shape";
  std::string text;
  for (size_t i = 0; i < symbol_values.size(); ++i) {
    text += fmt::format("{}{}={}", i ? ", " : "", plan.symbols[i].name, symbol_values[i]);
  }
  return text;
}

Result<VerifyOutcome> VerifyPlan(std::shared_ptr<const plan::Plan> candidate,
                                 std::shared_ptr<const plan::Plan> reference, double budget_s,
                                 const Clock& clock, Parallel* parallel, const RunTarget& where) {
  FUSEE_TRY(Subject mine, OpenSubject(std::move(candidate), parallel, where));
  auto theirs = OpenSubject(std::move(reference), parallel);
  if (!theirs.ok()) return std::move(theirs).status().Annotate("the reference plan");
  return Verifier(std::move(mine), std::move(theirs).value(), clock, budget_s).Run();
}

Result<std::vector<plan::Golden>> RecordGolden(std::shared_ptr<const plan::Plan> candidate,
                                               Parallel* parallel, const RunTarget& where) {
  FUSEE_TRY(Subject subject, OpenSubject(std::move(candidate), parallel, where));
  std::vector<plan::Golden> golden;
  const auto corners = ProfileCorners(*subject.plan);
  // The minimum, and the maximum when it differs (it stands second).
  for (size_t i = 0; i < std::min<size_t>(corners.size(), 2); ++i) {
    plan::Golden g{corners[i], Fill::kUniform, kVerifySeed + i, {}};
    FUSEE_TRY(g.fill, RunOrdinary(*subject.context, g.symbol_values, g.seed));
    FUSEE_TRY(g.output_digests,
              runtime::RunGolden(*subject.context, g.symbol_values, g.fill, g.seed));
    golden.push_back(std::move(g));
  }
  return golden;
}

}  // namespace fusee::compiler
