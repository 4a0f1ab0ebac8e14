// What a conformance run says of each operator: the subsets that results are quoted for, and
// docs/conformance.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/conform_case.h"

namespace fusee::cli {

// Subsets of ONNX's node tests for which other runtimes' results are known: models of the domain
// ai.onnx alone, up to an opset, whose inputs and outputs are all tensors of f32, f16, i32, i64,
// bool, u8 or i8.
enum class Subset : uint8_t {
  kS1,  // opset 22 or older: 1,038 cases
  kS2,  // opset 26 or older: 1,334 cases
};
std::optional<Subset> ParseSubset(std::string_view name);
std::string_view SubsetName(Subset subset);

// What a case's model is about.
struct CaseFacts {
  std::string domain;  // "ai.onnx", "ai.onnx.ml", ...
  std::string op;      // empty: the model holds several operators (constants do not count)
  int64_t opset = 0;   // of the domain; 0: none is imported
  int64_t onnx_opset = 0;
  bool only_onnx = false;     // imports no other domain than ai.onnx
  bool common_types = false;  // of inputs and outputs, as above
  bool In(Subset subset) const;
};

// Reads the case's model; a model that cannot be read is in no subset and of no operator.
CaseFacts FactsOf(const ConformCase& test);

struct TableRow {
  CaseFacts facts;
  CaseOutcome outcome;
};

// Markdown: the subsets, then a line for each operator and opset with what passed, what was refused
// and why. A function of the verdicts and messages alone.
std::string ConformanceTable(std::span<const TableRow> rows);

// A refusal's reason without the names that are its model's own.
std::string ReasonOf(std::string_view message);

}  // namespace fusee::cli
