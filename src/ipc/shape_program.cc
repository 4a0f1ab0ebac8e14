#include "ipc/shape_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked_math.h"

namespace fusee::ipc {
namespace {

using Op = ShapeProgram::Op;

constexpr double kMicrosecondsMax = 1e12;  // eleven days: what fits any duration here

Result<Shape> ShapeOf(const TensorInfo& tensor, std::span<const uint32_t> dims,
                      std::span<const int64_t> values) {
  Shape shape;
  int64_t bits = BitsPerElement(tensor.dtype);
  for (uint32_t d : dims) {
    const int64_t dim = values[d];
    shape.push_back(dim);
    // A dimension of 0 does not hide the others, so that no partial product overflows either.
    if (dim < 0 || (dim != 0 && !CheckedMul(bits, dim, &bits))) {
      return OutOfRange(
          fmt::format("tensor '{}': shape {}... is negative or too large; the shapes given do not "
                      "fit this model",
                      tensor.name, shape.ToString()));
    }
  }
  return shape;
}

Status Bad(std::string_view what) {
  return InvalidArgument(fmt::format("model description: {}", what));
}

Status CheckTensors(const std::vector<TensorInfo>& tensors,
                    const std::vector<std::vector<uint32_t>>& shapes, size_t dims) {
  if (tensors.size() != shapes.size()) return Bad("a tensor without a shape");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& tensor = tensors[i];
    if (BitsPerElement(tensor.dtype) <= 0) return Bad("a tensor of no type");
    if (tensor.shape.size() > kMaxRank || tensor.shape.size() != shapes[i].size())
      return Bad("a tensor whose rank is wrong");
    int64_t fixed = BytesPerElement(tensor.dtype);
    for (int64_t d : tensor.shape) {
      if (d != kDynamicDim && (d < 0 || !CheckedMul(fixed, d, &fixed)))
        return Bad("a tensor that is too large");
    }
    for (uint32_t d : shapes[i]) {
      if (d >= dims) return Bad("a dimension that does not exist");
    }
  }
  return OkStatus();
}

Status CheckSymbols(const ModelInfo& info) {
  if (info.symbols.size() > kModelSymbolsMax) return Bad("too many symbols");
  for (const SymbolInfo& s : info.symbols) {
    if (s.min > s.max) return Bad("a symbol without a range");
    if (s.input >= info.inputs.size()) return Bad("a symbol of no input");
    if (s.axis < -1 || s.axis >= static_cast<int32_t>(info.inputs[s.input].shape.size()))
      return Bad("a symbol of no axis");
  }
  const int32_t batch = info.batch_symbol;
  if (batch < -1 || batch >= static_cast<int32_t>(info.symbols.size()))
    return Bad("a batch dimension that does not exist");
  if (batch >= 0) {
    if (info.symbols[static_cast<size_t>(batch)].axis != 0) return Bad("a batch not at axis 0");
    for (const auto* list : {&info.inputs, &info.outputs}) {
      for (const TensorInfo& t : *list) {
        if (t.shape.empty()) return Bad("a batched tensor without dimensions");
      }
    }
  }
  return OkStatus();
}

Status CheckBuckets(const ModelInfo& info) {
  if (info.buckets.size() > kModelBucketsMax) return Bad("too many buckets");
  for (const BucketInfo& b : info.buckets) {
    if (b.symbol_values.size() != info.symbols.size()) return Bad("a bucket of other symbols");
    for (double us : {b.p50_us, b.p99_us, b.p999_us, b.max_us}) {
      if (!std::isfinite(us) || us < 0 || us > kMicrosecondsMax) return Bad("a time out of range");
    }
  }
  return OkStatus();
}

}  // namespace

Status CheckModel(const ModelInfo& info, const ShapeProgram& program) {
  if (info.inputs.size() + info.outputs.size() > kModelTensorsMax) {
    return Bad(fmt::format("{} inputs and outputs, the limit is {}",
                           info.inputs.size() + info.outputs.size(), kModelTensorsMax));
  }
  if (program.dims.size() > kModelDimsMax) return Bad("too many dimensions");
  FUSEE_TRY(CheckTensors(info.inputs, program.inputs, program.dims.size()));
  FUSEE_TRY(CheckTensors(info.outputs, program.outputs, program.dims.size()));
  FUSEE_TRY(CheckSymbols(info));
  FUSEE_TRY(CheckBuckets(info));
  for (size_t i = 0; i < program.dims.size(); ++i) {
    const ShapeProgram::Expr& e = program.dims[i];
    if (e.op > Op::kMax) return Bad("an unknown operation");
    if (e.op == Op::kConstant) continue;
    const auto below = [](int64_t v, size_t limit) {
      return v >= 0 && static_cast<uint64_t>(v) < limit;
    };
    if (e.op == Op::kSymbol ? !below(e.a, info.symbols.size()) : !below(e.a, i) || !below(e.b, i))
      return Bad("a dimension that refers to nothing before it");
  }
  for (const ShapeProgram::Equal& e : program.equal) {
    if (e.a >= program.dims.size() || e.b >= program.dims.size())
      return Bad("an equality of dimensions that do not exist");
  }
  return OkStatus();
}

Status OutputShapes(const ModelInfo& info, const ShapeProgram& program,
                    std::span<const Shape> inputs, std::span<Shape> outputs) {
  FUSEE_CHECK(inputs.size() == info.inputs.size() && outputs.size() == info.outputs.size(),
              "one shape per input and output");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const size_t rank = program.inputs[i].size();
    if (inputs[i].rank() != static_cast<int>(rank)) {
      return InvalidArgument(fmt::format("input '{}': expected rank {}, got {}",
                                         info.inputs[i].name, rank, inputs[i].ToString()));
    }
  }
  std::vector<int64_t> symbols;
  for (const SymbolInfo& s : info.symbols) {
    const int64_t value = s.axis >= 0 ? inputs[s.input][s.axis] : s.max;
    if (value < s.min || value > s.max) {
      return OutOfRange(fmt::format(
          "input '{}': {} = {} is outside the plan's profile [{}, {}]; send a shape within it, or "
          "rebuild the plan with a wider profile",
          info.inputs[s.input].name, s.name, value, s.min, s.max));
    }
    symbols.push_back(value);
  }
  std::vector<int64_t> dims(program.dims.size());
  FUSEE_TRY(EvaluateDims(program.dims, symbols, dims));
  for (size_t i = 0; i < inputs.size(); ++i) {
    FUSEE_TRY(const Shape want, ShapeOf(info.inputs[i], program.inputs[i], dims));
    if (!(want == inputs[i])) {
      return InvalidArgument(
          fmt::format("input '{}': expected shape {} with these other inputs, got {}",
                      info.inputs[i].name, want.ToString(), inputs[i].ToString()));
    }
  }
  for (const ShapeProgram::Equal& e : program.equal) {
    if (dims[e.a] != dims[e.b]) {
      return InvalidArgument(
          fmt::format("{} and {} must be equal: {}", dims[e.a], dims[e.b], e.reason));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    FUSEE_TRY(outputs[i], ShapeOf(info.outputs[i], program.outputs[i], dims));
  }
  return OkStatus();
}

}  // namespace fusee::ipc
