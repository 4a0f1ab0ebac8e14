#include "tune/problem.h"

#include <fmt/format.h>

#include "base/digest.h"

namespace fusee::tune {
namespace {

// Kernels look at the values of scalars and axes, not of weights.
constexpr int64_t kSmallConstantBytes = 64;

std::string AttrText(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return "'" + ToHex(Sha256(std::as_bytes(std::span(v)))).substr(0, 16) + "'";
        } else if constexpr (std::is_arithmetic_v<T>) {
          return fmt::format("{}", v);
        } else {
          return fmt::format("[{}]", fmt::join(v, "x"));
        }
      },
      value);
}

std::string OperandText(const ops::TensorSpec& spec) {
  if (!spec.present()) return "_";
  std::string text = Describe(spec.dtype, spec.max_shape);
  if (spec.data == nullptr) return text;
  const ConstTensorView view = spec.constant();
  text += " const";
  if (view.size_bytes() <= kSmallConstantBytes)
    text += " " + ToHex(Sha256(view.bytes())).substr(0, 16);
  return text;
}

}  // namespace

std::string Signature(const Problem& problem) {
  std::string text = problem.op + "(";
  for (const ops::TensorSpec& spec : problem.inputs) text += OperandText(spec) + ";";
  text += ")->(";
  for (const ops::TensorSpec& spec : problem.outputs) text += OperandText(spec) + ";";
  text += ")";
  for (const auto& [name, value] : problem.attrs->values())
    text += fmt::format(" {}={}", name, AttrText(value));
  if (!problem.dims.empty()) text += fmt::format(" dims={}", fmt::join(problem.dims, "x"));
  return text;
}

std::string KeyOf(const Candidate& candidate) {
  if (candidate.config.empty()) return std::string(candidate.kernel->id);
  return fmt::format("{}#{}", candidate.kernel->id, ToHex(Sha256(candidate.config)).substr(0, 16));
}

ops::StepSpec SpecFor(const Problem& problem, const Candidate& candidate,
                      std::vector<ops::TensorSpec>* inputs) {
  *inputs = problem.inputs;
  for (const ops::PackedConstant& p : *problem.packings[candidate.packing]) {
    (*inputs)[p.input] = {DType::kU8, Shape{static_cast<int64_t>(p.bytes.size())}, true,
                          p.bytes.data()};
  }
  return {problem.op,      problem.attrs,       *inputs,
          problem.outputs, problem.dims.size(), candidate.config};
}

}  // namespace fusee::tune
