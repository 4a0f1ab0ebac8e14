#include "compiler/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "compiler/difference.h"
#include "plan/dims.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::compiler {
namespace {

// Copies of intermediate tensors kept to find the guilty step stop here.
constexpr size_t kMaxTraceBytes = size_t{2} << 30;

struct Corner {
  std::vector<int64_t> values;
  Fill fill;
};

// One plan with one context.
struct Subject {
  std::shared_ptr<const plan::Plan> plan;
  std::unique_ptr<runtime::Context> context;
};

Result<Subject> Open(std::shared_ptr<const plan::Plan> plan, Parallel* parallel) {
  runtime::LoadOptions load;
  load.replay_golden = false;  // not recorded yet
  load.parallel = parallel;
  FUSEE_TRY(auto loaded, runtime::LoadedPlan::FromPlan(plan, load));
  FUSEE_TRY(auto context, runtime::Context::Create(loaded, {.parallel = parallel}));
  return Subject{std::move(plan), std::move(context)};
}

std::vector<std::vector<int64_t>> Corners(const plan::Plan& plan) {
  std::vector<int64_t> low, high, opt;
  for (const plan::Symbol& s : plan.symbols) {
    low.push_back(s.min);
    high.push_back(s.max);
    opt.push_back(s.opt);
  }
  std::vector<std::vector<int64_t>> corners = {low};
  for (auto& c : {high, opt}) {
    if (std::ranges::find(corners, c) == corners.end()) corners.push_back(c);
  }
  return corners;
}

// Ordinary values everywhere first, then adversarial ones from the cheapest corner on: what a short
// budget buys.
std::vector<Corner> Schedule(const plan::Plan& plan) {
  std::vector<Corner> schedule;
  const auto corners = Corners(plan);
  for (const auto& c : corners) schedule.push_back({c, Fill::kUniform});
  for (const auto& c : corners) {
    for (Fill fill : {Fill::kSignedZeros, Fill::kTiny, Fill::kLarge, Fill::kConstant})
      schedule.push_back({c, fill});
  }
  return schedule;
}

// Keeps a copy of every step's results by name.
class Trace final : public runtime::StepHook {
 public:
  explicit Trace(const plan::Plan& plan) : plan_(plan) {}
  void OnStep(const runtime::StepEvent& event) override {
    const plan::Step& step = plan_.steps[event.step];
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

 private:
  const plan::Plan& plan_;
  size_t bytes_ = 0;
  std::vector<std::pair<std::string, size_t>> order_;
  std::map<std::string, Tensor> tensors_;
};

class Verifier {
 public:
  Verifier(Subject candidate, Subject reference, const Clock& clock, double budget_s)
      : candidate_(std::move(candidate)),
        reference_(std::move(reference)),
        clock_(clock),
        budget_(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(budget_s))) {}

  Result<VerifyOutcome> Run() {
    const TimePoint start = clock_.Now();
    double ns_per_element = 0;  // of both plans together, from the comparisons so far
    const std::vector<Corner> schedule = Schedule(*candidate_.plan);
    outcome_.passed = true;
    for (size_t i = 0; i < schedule.size() && outcome_.passed; ++i) {
      FUSEE_TRY(double elements, ElementsAt(schedule[i].values));
      const TimePoint before = clock_.Now();
      const auto predicted = Duration(static_cast<int64_t>(ns_per_element * elements));
      if (i > 0 && before - start + predicted > budget_) {
        ++outcome_.skipped;
        if (schedule[i].fill == Fill::kUniform)
          outcome_.too_expensive.push_back(schedule[i].values);
        continue;  // a later corner may be cheaper
      }
      Status status = CompareCorner(schedule[i]);
      if (!status.ok()) return std::move(status).Annotate(Describe(schedule[i]));
      ns_per_element =
          std::max(ns_per_element,
                   static_cast<double>((clock_.Now() - before).count()) / std::max(elements, 1.0));
    }
    if (outcome_.passed) FUSEE_TRY(CheckBatchRows());
    return std::move(outcome_);
  }

 private:
  std::string Describe(const Corner& corner) const {
    return fmt::format("{} inputs at {}", FillName(corner.fill),
                       DescribePoint(*candidate_.plan, corner.values));
  }

  // Elements of all tensors at a corner: what the time of a run grows with.
  Result<double> ElementsAt(const std::vector<int64_t>& values) const {
    const plan::Plan& p = *reference_.plan;
    std::vector<int64_t> dims(p.dims.size());
    FUSEE_TRY(plan::EvaluateDims(p.dims, values, dims));
    double elements = 0;
    for (const plan::TensorDef& t : p.tensors) {
      if (t.region == plan::Region::kWeights) continue;
      FUSEE_TRY(Shape shape, plan::ShapeOf(t, dims));
      elements += static_cast<double>(shape.elements());
    }
    return elements;
  }

  static Status RunOnce(Subject& subject, const Corner& corner) {
    FUSEE_TRY(runtime::FillInputs(*subject.context, corner.values, corner.fill, kVerifySeed));
    return subject.context->Run();
  }

  // Both sides must succeed, or both refuse the data (an index out of range, a division by zero).
  Status CompareCorner(const Corner& corner) {
    Status want = RunOnce(reference_, corner);
    Status got = RunOnce(candidate_, corner);
    if (!want.ok() && !got.ok() && corner.fill != Fill::kUniform) return OkStatus();
    FUSEE_TRY(std::move(want).Annotate("the reference"));
    FUSEE_TRY(std::move(got));
    for (size_t i = 0; i < candidate_.context->output_count(); ++i) {
      const ConstTensorView a = candidate_.context->output(i);
      const ConstTensorView b = reference_.context->output(i);
      const std::string& name = candidate_.plan->outputs[i].name;
      if (a.dtype != b.dtype || !(a.shape == b.shape)) {
        return Fail(fmt::format("{}: output '{}' is {}, the reference gives {}", Describe(corner),
                                name, fusee::Describe(a.dtype, a.shape),
                                fusee::Describe(b.dtype, b.shape)));
      }
      const Difference d = CompareWithReference(a, b);
      outcome_.corners.push_back(
          {corner.values, corner.fill, name, false, b.elements(), d.max_abs, d.max_rel});
      if (d.mismatches > 0) {
        const std::string where = fmt::format(
            "{}: output '{}' differs in {} of {} elements, first at flat index {}: "
            "expected {:.9g}, got {:.9g}",
            Describe(corner), name, d.mismatches, b.elements(), d.first, d.want, d.got);
        FUSEE_TRY(std::string guilty, FirstDifferingStep(corner));
        return Fail(where + guilty);
      }
    }
    return OkStatus();
  }

  Status Fail(std::string why) {
    outcome_.passed = false;
    outcome_.failure = std::move(why);
    return OkStatus();
  }

  // Runs both once more, keeping every result, and names the first step of the plan whose result
  // differs from the reference's value of the same name (passes keep ONNX's names).
  Result<std::string> FirstDifferingStep(const Corner& corner) {
    Trace got(*candidate_.plan), want(*reference_.plan);
    candidate_.context->SetStepHook(&got);
    reference_.context->SetStepHook(&want);
    Status a = RunOnce(candidate_, corner);
    Status b = RunOnce(reference_, corner);
    candidate_.context->SetStepHook(nullptr);
    reference_.context->SetStepHook(nullptr);
    FUSEE_TRY(std::move(a));
    FUSEE_TRY(std::move(b));
    for (const auto& [name, step_index] : got.order()) {
      const Tensor* mine = got.Find(name);
      const Tensor* theirs = want.Find(name);
      if (theirs == nullptr || mine->dtype() != theirs->dtype() ||
          !(mine->shape() == theirs->shape()))
        continue;
      if (CompareWithReference(mine->view(), theirs->view()).mismatches == 0) continue;
      const plan::Step& step = candidate_.plan->steps[step_index];
      return fmt::format("; the first step that differs is {} '{}' (kernel {}, from ONNX nodes {})",
                         step.op, name, step.kernel, fmt::join(step.sources, ", "));
    }
    return std::string("; no single step could be named");
  }

  // --- batch rows ---

  // True when every unpinned input and every output has the same symbol as its leading dimension,
  // and all others are independent of it. Sets the note otherwise.
  bool HasBatchSymbol(size_t* symbol) {
    const plan::Plan& p = *candidate_.plan;
    std::set<size_t> leading;
    const auto add = [&](const plan::IoDef& io) {
      const plan::TensorDef& t = p.tensors[io.tensor];
      if (io.is_pinned) return true;
      if (t.shape.empty() || p.dims[t.shape[0]].op != plan::DimOp::kSymbol) return false;
      leading.insert(static_cast<size_t>(p.dims[t.shape[0]].a));
      for (size_t axis = 1; axis < t.shape.size(); ++axis) {
        const plan::DimExpr& d = p.dims[t.shape[axis]];
        if (d.op == plan::DimOp::kSymbol && leading.contains(static_cast<size_t>(d.a)))
          return false;
      }
      return true;
    };
    const bool all = std::ranges::all_of(p.inputs, add) && std::ranges::all_of(p.outputs, add);
    if (!all || leading.size() != 1) {
      outcome_.batch_note = "inputs and outputs do not share one leading dynamic dimension";
      return false;
    }
    *symbol = *leading.begin();
    return true;
  }

  struct Rows {
    std::vector<std::vector<std::byte>> outputs;
  };

  // Runs at `values` with uniform inputs whose rows are rotated by `shift`; returns outputs rotated
  // back.
  static Result<Rows> RunRotated(Subject& subject, const std::vector<int64_t>& values,
                                 int64_t batch, int64_t shift) {
    FUSEE_TRY(runtime::FillInputs(*subject.context, values, Fill::kUniform, kVerifySeed));
    for (size_t i = 0; i < subject.context->input_count(); ++i) {
      if (subject.plan->inputs[i].is_pinned) continue;
      const auto bytes = subject.context->input(i).bytes();
      const auto row = static_cast<int64_t>(bytes.size()) / batch;
      std::ranges::rotate(bytes, bytes.begin() + shift * row);
    }
    FUSEE_TRY(subject.context->Run());
    Rows rows;
    for (size_t i = 0; i < subject.context->output_count(); ++i) {
      const auto bytes = subject.context->output(i).bytes();
      std::vector<std::byte> copy(bytes.begin(), bytes.end());
      const auto row = static_cast<int64_t>(copy.size()) / batch;
      std::ranges::rotate(copy, copy.begin() + (batch - shift) % batch * row);
      rows.outputs.push_back(std::move(copy));
    }
    return rows;
  }

  Status CheckBatchRows() {
    size_t symbol = 0;
    if (!HasBatchSymbol(&symbol)) return OkStatus();
    std::vector<int64_t> values;
    for (const plan::Symbol& s : candidate_.plan->symbols) values.push_back(s.max);
    const int64_t batch = values[symbol];
    if (batch < 2) {
      outcome_.batch_note = "the largest batch is 1";
      return OkStatus();
    }
    FUSEE_TRY(Rows straight, RunRotated(candidate_, values, batch, 0));
    const int64_t shift = batch / 2;
    FUSEE_TRY(Rows rotated, RunRotated(candidate_, values, batch, shift));
    outcome_.batch_checked = true;
    outcome_.batch_invariant = straight.outputs == rotated.outputs;
    if (outcome_.batch_invariant) return CheckSmallBatch(symbol, values, straight);
    return JudgeVariance(values, batch);
  }

  // The same first rows in the smallest batch.
  Status CheckSmallBatch(size_t symbol, std::vector<int64_t> values, const Rows& large) {
    const int64_t batch = values[symbol];
    const int64_t small = candidate_.plan->symbols[symbol].min;
    if (small < 1 || small == batch) return OkStatus();
    // Row i of a fill depends on its position only, so the small batch holds the large one's first
    // rows.
    values[symbol] = small;
    FUSEE_TRY(Rows rows, RunRotated(candidate_, values, small, 0));
    for (size_t i = 0; i < rows.outputs.size(); ++i) {
      const auto& a = rows.outputs[i];
      if (!std::equal(a.begin(), a.end(), large.outputs[i].begin()))
        outcome_.batch_invariant = false;
    }
    if (outcome_.batch_invariant) return OkStatus();
    return Fail(fmt::format(
        "rows of output bits depend on the batch size: {} of batch {} and of batch {} differ",
        small, small, batch));
  }

  // Bits moved with position. If, in the reference, row 0 changes when only other rows do, the
  // model itself mixes rows and nothing is promised; else it is a fault of the plan.
  Status JudgeVariance(const std::vector<int64_t>& values, int64_t batch) {
    FUSEE_TRY(Rows straight, RunRotated(reference_, values, batch, 0));
    std::vector<std::vector<std::byte>> row0;
    for (size_t i = 0; i < reference_.context->input_count(); ++i) {
      const auto bytes = reference_.context->input(i).bytes();
      row0.emplace_back(bytes.begin(),
                        bytes.begin() + static_cast<ptrdiff_t>(bytes.size()) / batch);
    }
    FUSEE_TRY(runtime::FillInputs(*reference_.context, values, Fill::kUniform, kVerifySeed + 1));
    for (size_t i = 0; i < row0.size(); ++i) {
      if (!reference_.plan->inputs[i].is_pinned)
        std::ranges::copy(row0[i], reference_.context->input(i).bytes().begin());
    }
    FUSEE_TRY(reference_.context->Run());
    for (size_t i = 0; i < straight.outputs.size(); ++i) {
      const auto bytes = reference_.context->output(i).bytes();
      if (std::equal(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(bytes.size()) / batch,
                     straight.outputs[i].begin()))
        continue;
      outcome_.batch_checked = false;
      outcome_.batch_note = "the model itself mixes rows of a batch";
      return OkStatus();
    }
    return Fail(
        fmt::format("rows of output bits depend on their position in a batch of {}", batch));
  }

  Subject candidate_, reference_;
  const Clock& clock_;
  Duration budget_;
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
                                 const Clock& clock, Parallel* parallel) {
  FUSEE_TRY(Subject mine, Open(std::move(candidate), parallel));
  auto theirs = Open(std::move(reference), parallel);
  if (!theirs.ok()) return std::move(theirs).status().Annotate("the reference plan");
  return Verifier(std::move(mine), std::move(theirs).value(), clock, budget_s).Run();
}

Result<std::vector<plan::Golden>> RecordGolden(std::shared_ptr<const plan::Plan> candidate,
                                               Parallel* parallel) {
  FUSEE_TRY(Subject subject, Open(std::move(candidate), parallel));
  std::vector<plan::Golden> golden;
  const auto corners = Corners(*subject.plan);
  // The minimum, and the maximum when it differs (Corners lists it second).
  for (size_t i = 0; i < std::min<size_t>(corners.size(), 2); ++i) {
    plan::Golden g{corners[i], Fill::kUniform, kVerifySeed + i, {}};
    FUSEE_TRY(g.output_digests,
              runtime::RunGolden(*subject.context, g.symbol_values, g.fill, g.seed));
    golden.push_back(std::move(g));
  }
  return golden;
}

}  // namespace fusee::compiler
