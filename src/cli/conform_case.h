// One conformance case: a model in ONNX's test layout with inputs and expected outputs, run the
// whole way: import, plan bytes, loader, runtime.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/options.h"

namespace fusee::cli {

enum class Verdict : uint8_t {
  kPassed,
  kRefused,  // the importer said clearly what it does not support
  kWrong,    // another answer, or an error on a model that is valid
  kCrashed,  // the guarded child died or ran out of time
};
std::string_view VerdictName(Verdict verdict);

struct ConformCase {
  std::string name;                    // path relative to the folder that was searched
  std::string model;                   // path of the ONNX file
  std::vector<std::string> data_sets;  // folders with input_K.pb and output_K.pb
  // ONNX's "light" models have no inputs of their own: f32 input i holds element k / n, and
  // expected outputs lie in these files (https://github.com/onnx/onnx, onnx/backend/test/runner).
  std::vector<std::string> light_outputs;
};

// All cases below dir, sorted by name. Folders are searched to a bounded depth. Errors: kNotFound.
Result<std::vector<ConformCase>> FindCases(const std::string& dir);

struct CaseOutcome {
  Verdict verdict = Verdict::kPassed;
  std::string message;  // why, when not passed
};

// Runs every data set; the worst verdict wins. Deterministic. Uses the options' threads and
// tactics; profiles are taken from the data, and an input that some operator needs while building
// is pinned to its value.
CaseOutcome RunCase(const ConformCase& test, const compiler::BuildOptions& options);

}  // namespace fusee::cli
