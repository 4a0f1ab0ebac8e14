#include "compiler/batch_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/difference.h"
#include "compiler/verify.h"
#include "plan/dims.h"
#include "runtime/golden.h"

namespace fusee::compiler {
namespace {

using Outputs = std::vector<std::vector<std::byte>>;

// The symbol that leads every unpinned input and every output, when no other axis of theirs depends
// on it.
Result<std::optional<size_t>> BatchSymbol(const plan::Plan& p) {
  std::set<size_t> leading;
  std::vector<const plan::TensorDef*> tensors;
  for (const auto* list : {&p.inputs, &p.outputs}) {
    for (const plan::IoDef& io : *list) {
      if (io.is_pinned) continue;
      const plan::TensorDef& t = p.tensors[io.tensor];
      if (t.shape.empty() || p.dims[t.shape[0]].op != plan::DimOp::kSymbol)
        return std::optional<size_t>();
      leading.insert(static_cast<size_t>(p.dims[t.shape[0]].a));
      tensors.push_back(&t);
    }
  }
  if (leading.size() != 1) return std::optional<size_t>();
  // What a run finds depends on all rows together.
  const std::vector<int64_t> known = plan::KnownAfter(p);
  for (const plan::IoDef& io : p.outputs) {
    if (plan::LastKnown(p, known, io.tensor) != plan::kKnownAtStart) return std::optional<size_t>();
  }
  // Does any other axis move with it? Compared at two values, all else equal.
  std::vector<int64_t> at_max;
  for (const plan::Symbol& s : p.symbols) at_max.push_back(s.max);
  std::vector<int64_t> at_min = at_max;
  at_min[*leading.begin()] = p.symbols[*leading.begin()].min;
  std::vector<int64_t> a(p.dims.size()), b(p.dims.size());
  FUSEE_TRY(plan::EvaluateDims(p.dims, at_max, a));
  FUSEE_TRY(plan::EvaluateDims(p.dims, at_min, b));
  for (const plan::TensorDef* t : tensors) {
    for (size_t axis = 1; axis < t->shape.size(); ++axis) {
      if (a[t->shape[axis]] != b[t->shape[axis]]) return std::optional<size_t>();
    }
  }
  return std::optional<size_t>(*leading.begin());
}

Outputs CopyOutputs(const runtime::Context& context) {
  Outputs outputs;
  for (size_t i = 0; i < context.output_count(); ++i) {
    const auto bytes = context.output(i).bytes();
    outputs.emplace_back(bytes.begin(), bytes.end());
  }
  return outputs;
}

bool SameFirstRow(const Outputs& a, const Outputs& b, int64_t batch) {
  for (size_t i = 0; i < a.size(); ++i) {
    const auto row = static_cast<ptrdiff_t>(a[i].size()) / batch;
    if (!std::equal(a[i].begin(), a[i].begin() + row, b[i].begin())) return false;
  }
  return true;
}

class RowChecker {
 public:
  RowChecker(Subject& subject, std::vector<int64_t> values, size_t symbol)
      : subject_(subject), values_(std::move(values)), symbol_(symbol) {}

  // Chooses the values rows are made of. Errors: the plan runs on none.
  Status Prepare() {
    FUSEE_TRY(fill_, RunOrdinary(*subject_.context, values_, kVerifySeed));
    return OkStatus();
  }

  int64_t batch() const { return values_[symbol_]; }

  // Outputs with the input rows rotated by shift, rotated back.
  Result<Outputs> RunRotated(int64_t shift) {
    FUSEE_TRY(Fill(kVerifySeed));
    ForInputs([&](std::span<std::byte> bytes) {
      const auto row = static_cast<ptrdiff_t>(bytes.size()) / batch();
      std::rotate(bytes.begin(), bytes.begin() + shift * row, bytes.end());
    });
    FUSEE_TRY(subject_.context->Run());
    Outputs outputs = CopyOutputs(*subject_.context);
    for (auto& bytes : outputs) {
      const auto row = static_cast<ptrdiff_t>(bytes.size()) / batch();
      std::rotate(bytes.begin(), bytes.begin() + (batch() - shift) % batch() * row, bytes.end());
    }
    return outputs;
  }

  // Does row 0 of an output change when only other rows of the inputs do?
  Result<bool> MixesRows() {
    FUSEE_TRY(Outputs straight, RunRotated(0));
    std::vector<std::vector<std::byte>> first;
    ForInputs([&](std::span<std::byte> bytes) {
      first.emplace_back(bytes.begin(),
                         bytes.begin() + static_cast<ptrdiff_t>(bytes.size()) / batch());
    });
    FUSEE_TRY(Fill(kVerifySeed + 1));
    size_t next = 0;
    ForInputs([&](std::span<std::byte> bytes) { std::ranges::copy(first[next++], bytes.begin()); });
    FUSEE_TRY(subject_.context->Run());
    return !SameFirstRow(straight, CopyOutputs(*subject_.context), batch());
  }

 private:
  Status Fill(uint64_t seed) {
    return runtime::FillInputs(*subject_.context, values_, fill_, seed);
  }
  template <typename Body>
  void ForInputs(Body&& body) {
    for (size_t i = 0; i < subject_.context->input_count(); ++i) {
      if (!subject_.plan->inputs[i].is_pinned) body(subject_.context->input(i).bytes());
    }
  }

  Subject& subject_;
  std::vector<int64_t> values_;
  size_t symbol_;
  fusee::Fill fill_ = fusee::Fill::kUniform;
};

// Within one batch: does a row depend on its position or its neighbours? In words; empty: no.
Result<std::string> FindDependenceWithin(RowChecker& rows, const Outputs& straight) {
  FUSEE_TRY(Outputs rotated, rows.RunRotated(rows.batch() / 2));
  if (straight != rotated) return fmt::format("on their position in a batch of {}", rows.batch());
  FUSEE_TRY(bool mixes, rows.MixesRows());
  return mixes ? std::string("on other rows of the batch") : std::string();
}

// Do the first rows of `many` agree with the last run's outputs: in every bit, or, on a device
// whose tuned points have tactics of their own, as a plan does with its reference?
bool FirstRowsAgree(const runtime::Context& few, const Outputs& many, bool bits, Reduced reduced) {
  for (size_t i = 0; i < few.output_count(); ++i) {
    const ConstTensorView view = few.output(i);
    const auto bytes = view.bytes();
    if (bits ? !std::equal(bytes.begin(), bytes.end(), many[i].begin())
             : CompareWithReference(view, {view.dtype, view.shape, many[i].data()}, reduced)
                       .mismatches > 0)
      return false;
  }
  return true;
}

// What depends on more than the row in the candidate, in words; empty when nothing does.
Result<std::string> FindDependence(Subject& candidate, const std::vector<int64_t>& values,
                                   size_t symbol, Reduced reduced) {
  const bool on_device = candidate.plan->target.device != "cpu";
  RowChecker large(candidate, values, symbol);
  FUSEE_TRY(large.Prepare());
  FUSEE_TRY(Outputs straight, large.RunRotated(0));
  FUSEE_TRY(std::string dependence, FindDependenceWithin(large, straight));
  if (!dependence.empty()) return dependence;
  for (const plan::Bucket& bucket : candidate.plan->buckets) {
    if (!on_device || bucket.symbol_values == values || bucket.symbol_values[symbol] < 2) continue;
    RowChecker tuned(candidate, bucket.symbol_values, symbol);
    FUSEE_TRY(tuned.Prepare());
    FUSEE_TRY(Outputs here, tuned.RunRotated(0));
    FUSEE_TRY(dependence, FindDependenceWithin(tuned, here));
    if (!dependence.empty()) return dependence;
  }
  // Row i of a fill depends on its position only, so a small batch holds the large one's first
  // rows.
  std::vector<int64_t> small_values = values;
  small_values[symbol] = std::max<int64_t>(1, candidate.plan->symbols[symbol].min);
  RowChecker small(candidate, small_values, symbol);
  FUSEE_TRY(small.Prepare());
  FUSEE_TRY(small.RunRotated(0));
  if (!FirstRowsAgree(*candidate.context, straight, !on_device, reduced))
    return fmt::format("on the batch size: {} and {} differ", small.batch(), large.batch());
  return std::string();
}

}  // namespace

Result<BatchRows> CheckBatchRows(Subject& candidate, Subject& reference) {
  BatchRows rows;
  FUSEE_TRY(std::optional<size_t> symbol, BatchSymbol(*candidate.plan));
  if (!symbol) {
    rows.note = "inputs and outputs do not share one leading dynamic dimension";
    return rows;
  }
  std::vector<int64_t> values;
  for (const plan::Symbol& s : candidate.plan->symbols) values.push_back(s.max);
  // Which course a batch takes may hang on all its rows together, and no few runs show that.
  if (std::ranges::any_of(candidate.plan->steps,
                          [](const plan::Step& step) { return !step.guards.empty(); })) {
    rows.note = "a condition decides for the whole batch";
    return rows;
  }
  if (values[*symbol] < 2) {
    rows.note = "the largest batch is 1";
    return rows;
  }
  FUSEE_TRY(std::string dependence,
            FindDependence(candidate, values, *symbol,
                           ReducedPrecision(*candidate.plan, *reference.plan)));
  if (dependence.empty()) {
    rows.checked = rows.invariant = true;
    return rows;
  }
  RowChecker judge(reference, values, *symbol);
  FUSEE_TRY(judge.Prepare());
  FUSEE_TRY(bool mixes, judge.MixesRows());
  if (mixes) {
    rows.note = "the model itself mixes rows of a batch";
  } else {
    rows.checked = true;
    rows.failure = "bits of a row depend " + dependence;
  }
  return rows;
}

}  // namespace fusee::compiler
