#include "cli/conform_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "onnx/model.h"
#include "tensor/dtype.h"

namespace fusee::cli {
namespace {

constexpr Subset kSubsets[] = {Subset::kS1, Subset::kS2};
constexpr size_t kMaxReasons = 4;  // in one line of the table

int64_t NewestOpset(Subset subset) { return subset == Subset::kS1 ? 22 : 26; }

bool IsCommon(const onnx::ValueDecl& value) {
  if (value.kind != onnx::ValueDecl::Kind::kTensor) return false;
  static constexpr DType kCommon[] = {DType::kF32,  DType::kF16, DType::kI32, DType::kI64,
                                      DType::kBool, DType::kU8,  DType::kI8};
  return std::ranges::any_of(
      kCommon, [&](DType type) { return static_cast<int32_t>(type) == value.onnx_type; });
}

// Cells of a Markdown table may not hold bars or line breaks.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}

using Counts = std::array<size_t, 4>;  // by Verdict

struct Line {
  Counts counts{};
  std::map<std::string, size_t> reasons;
};

std::string ReasonsText(const Line& line) {
  std::vector<std::pair<size_t, std::string>> sorted;
  for (const auto& [reason, n] : line.reasons) sorted.emplace_back(n, reason);
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (size_t i = 0; i < sorted.size() && i < kMaxReasons; ++i) {
    text += i == 0 ? "" : "; ";
    text += sorted[i].second;
    if (sorted[i].first > 1 && sorted.size() > 1) text += fmt::format(" ({})", sorted[i].first);
  }
  if (sorted.size() > kMaxReasons)
    text += fmt::format("; and {} more reasons", sorted.size() - kMaxReasons);
  return text;
}

}  // namespace

std::optional<Subset> ParseSubset(std::string_view name) {
  for (const Subset subset : kSubsets) {
    if (name == SubsetName(subset)) return subset;
  }
  return std::nullopt;
}

std::string_view SubsetName(Subset subset) { return subset == Subset::kS1 ? "S1" : "S2"; }

bool CaseFacts::In(Subset subset) const {
  return only_onnx && common_types && onnx_opset <= NewestOpset(subset);
}

CaseFacts FactsOf(const ConformCase& test) {
  CaseFacts facts;
  const auto model = onnx::Load(test.model);
  if (!model.ok()) return facts;
  const onnx::Graph& graph = (*model)->graph;
  facts.onnx_opset = (*model)->OpsetVersion("").value_or(0);
  facts.only_onnx = (*model)->opset_imports.size() == 1 && facts.onnx_opset != 0;
  facts.common_types =
      std::ranges::all_of(graph.inputs, IsCommon) && std::ranges::all_of(graph.outputs, IsCommon);
  std::set<std::pair<std::string_view, std::string_view>> operators;
  for (const onnx::Node& node : graph.nodes) operators.insert({node.domain, node.op_type});
  if (operators.size() > 1) operators.erase({"", "Constant"});
  if (operators.size() != 1) return facts;
  const auto& [domain, op] = *operators.begin();
  facts.domain = domain.empty() ? "ai.onnx" : std::string(domain);
  facts.op = std::string(op);
  facts.opset = (*model)->OpsetVersion(domain).value_or(0);
  return facts;
}

std::string ReasonOf(std::string_view message) {
  // "UNIMPLEMENTED: node 'x' (Op, opset 17): reason; operands: ...": what stands between.
  if (const size_t code = message.find(": "); code != std::string_view::npos)
    message.remove_prefix(code + 2);
  if (message.starts_with("node '")) {
    const size_t colon = message.find(": ");
    if (colon != std::string_view::npos) message.remove_prefix(colon + 2);
  }
  if (message.starts_with("model input '") || message.starts_with("model output '")) {
    const size_t open = message.find('\''), close = message.find("' ", open + 1);
    if (close != std::string_view::npos)
      return fmt::format("{}{}", message.substr(0, open),
                         ReasonOf(": " + std::string(message.substr(close + 2))));
  }
  return std::string(message.substr(0, message.find("; ")));
}

std::string ConformanceTable(std::span<const TableRow> rows) {
  std::map<std::tuple<std::string, std::string, int64_t>, Line> lines;
  Counts all{};
  std::map<Subset, Counts> subsets;
  for (const TableRow& row : rows) {
    const auto verdict = static_cast<size_t>(row.outcome.verdict);
    Line& line = lines[{row.facts.domain, row.facts.op, row.facts.opset}];
    ++line.counts[verdict];
    ++all[verdict];
    if (row.outcome.verdict != Verdict::kPassed) ++line.reasons[ReasonOf(row.outcome.message)];
    for (const Subset subset : kSubsets) {
      if (row.facts.In(subset)) ++subsets[subset][verdict];
    }
  }
  std::string text =
      "# Conformance\n\n"
      "What Fusee makes of ONNX's own node tests: each case is imported, built, loaded and run, "
      "and "
      "its outputs are compared.\n"
      "Refused means that the importer said by name what it does not support; wrong would be "
      "another answer.\n"
      "Written by `fusee conform onnx/node --table docs/conformance.md`; a test fails when it is "
      "stale.\n\n"
      "| cases | passed | refused | wrong | crashed |\n|---|---|---|---|---|\n";
  const auto count = [&](std::string_view name, const Counts& n) {
    text += fmt::format("| {} | {} of {} | {} | {} | {} |\n", name, n[0], n[0] + n[1] + n[2] + n[3],
                        n[1], n[2], n[3]);
  };
  for (const Subset subset : kSubsets) {
    count(fmt::format("{}: ai.onnx, opset {} or older, tensors of f32, f16, i32, i64, bool, u8, i8",
                      SubsetName(subset), NewestOpset(subset)),
          subsets[subset]);
  }
  count("all", all);
  text +=
      "\nBy operator and opset; a model of several operators counts in the first line.\n\n"
      "| operator | opset | passed | refused | reason |\n|---|---|---|---|---|\n";
  for (const auto& [key, line] : lines) {
    const auto& [domain, op, opset] = key;
    const std::string name = op.empty()            ? "(several)"
                             : domain == "ai.onnx" ? op
                                                   : domain + "." + op;
    const size_t bad = line.counts[2] + line.counts[3];
    text += fmt::format("| {} | {} | {} | {} | {}{} |\n", name,
                        opset == 0 ? std::string() : std::to_string(opset), line.counts[0],
                        line.counts[1], bad == 0 ? "" : fmt::format("**{} wrong** ", bad),
                        Cell(ReasonsText(line)));
  }
  return text;
}

}  // namespace fusee::cli
