#include "quant/convert_precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "ops/op_def.h"
#include "tensor/half.h"

namespace fusee::quant {
namespace {

constexpr double kHalfMax = 65504;
constexpr double kHalfMinNormal = 6.103515625e-05;
// Beyond any sum of two finite float32 that matters; bfloat16 has float32's range.
constexpr double kBfloat16Max = 3.0e38;

// Operators that stay float32 when their operand is: the result, or what the operator computes on
// the way, may leave the range of half, or magnifies the operand's rounding.
bool IsSensitive(std::string_view op) {
  static const std::set<std::string_view> kSensitive = {
      "Exp", "Log", "Pow", "Reciprocal", "Sqrt", "ReduceSum", "ReduceL1", "ReduceL2",
      "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "CumSum",
      "LpNormalization", "Softplus", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Mod", "Range", "Einsum",
      "Det",
      // Operands that are positions in an image lose whole elements in 16 bits.
      "GridSample", "RoiAlign", "MaxRoiPool", "DeformConv",
      // A feature that rounds past a threshold takes another way.
      "TreeEnsemble",
      // Their scales and steps are real numbers that positions are computed from.
      "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Resize"};
  return kSensitive.contains(op);
}

// Operands that may stay float32 in a converted node: an additive mask of -3e38 must not become an
// infinity, which a row of masks alone would turn into NaN.
bool MayStayFull(std::string_view op, size_t operand) {
  return op == "FusedAttention" && operand == 3;
}

class Converter {
 public:
  Converter(ir::Graph& graph, const PrecisionOptions& options)
      : graph_(graph),
        options_(options),
        max_(options.dtype == DType::kF16 ? kHalfMax : kBfloat16Max) {}

  Result<PrecisionReport> Run() {
    const std::vector<ir::NodeId> order = graph_.order();
    for (ir::NodeId id : order) FUSEE_TRY(Visit(id));
    FUSEE_TRY(RestoreOutputs());
    DropUnusedConstants();
    return std::move(report_);
  }

 private:
  bool IsFull(ir::ValueId id) const {
    return id.valid() && graph_.value(id).info.dtype == DType::kF32;
  }

  // Why this node must not compute in the type; empty when it may.
  std::string WhyKept(const ir::Node& node) const {
    if (!node.regions.empty()) return "it has nested graphs";
    if (IsSensitive(node.op)) return "the operator magnifies rounding, or overflows in between";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::ValueId id = node.inputs[i];
      if (!id.valid() || !graph_.value(id).constant.present() || MayStayFull(node.op, i)) continue;
      if (std::string reason = WhyConstantDoesNotFit(graph_.value(id)); !reason.empty())
        return reason;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (MayStayFull(node.op, i)) continue;
      if (std::string reason = WhyValueDoesNotFit(node.inputs[i]); !reason.empty()) return reason;
    }
    for (ir::ValueId id : node.outputs) {
      if (std::string reason = WhyValueDoesNotFit(id); !reason.empty()) return reason;
    }
    return "";
  }

  std::string WhyValueDoesNotFit(ir::ValueId id) const {
    if (!id.valid()) return "";
    const auto seen = options_.magnitudes.find(graph_.value(id).name);
    if (seen == options_.magnitudes.end() || seen->second * options_.headroom <= max_) return "";
    return fmt::format("'{}' was seen to reach {:.3g}, and {} ends at {:.3g}", seen->first,
                       seen->second, DTypeName(options_.dtype), max_);
  }

  std::string WhyConstantDoesNotFit(const ir::Value& value) const {
    if (value.info.dtype != DType::kF32) return "";
    const ConstTensorView view = value.constant.view();
    const auto* x = view.as<float>();
    double largest = 0;
    for (int64_t i = 0; i < view.elements(); ++i)
      if (std::isfinite(x[i])) largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
    if (largest > max_) return fmt::format("constant '{}' holds {:.3g}", value.name, largest);
    // A weight that rounds to zero changes little; a lone epsilon that does may divide by zero.
    if (options_.dtype == DType::kF16 && view.elements() == 1 && largest > 0 &&
        largest < kHalfMinNormal)
      return fmt::format("constant '{}' is {:.3g}, which rounds away", value.name, largest);
    return "";
  }

  Status Visit(ir::NodeId id) {
    const ir::Node& node = graph_.node(id);
    const bool touches =
        std::ranges::any_of(node.inputs, [&](ir::ValueId v) { return IsAnyFloat(v); }) ||
        std::ranges::any_of(node.outputs, [&](ir::ValueId v) { return IsFull(v); });
    if (!touches) return OkStatus();
    std::string reason = WhyKept(node);
    if (reason.empty()) {
      FUSEE_TRY(reason, TryConvert(id));
      if (reason.empty()) {
        ++report_.converted;
        return OkStatus();
      }
    }
    report_.kept.push_back({ir::DescribeNode(graph_.node(id)), reason});
    return KeepFull(id);
  }

  bool IsAnyFloat(ir::ValueId id) const {
    return id.valid() && (graph_.value(id).info.dtype == DType::kF32 || was_full_.contains(id));
  }

  // Converts the node when its inference gives results of the type; else says why not.
  Result<std::string> TryConvert(ir::NodeId id) {
    if (graph_.node(id).op == "Cast") return TryConvertCast(id);
    ir::Node trial;
    trial.op = graph_.node(id).op;
    trial.attrs = graph_.node(id).attrs;
    trial.dims = graph_.node(id).dims;
    trial.counts = graph_.node(id).counts;
    trial.inputs = graph_.node(id).inputs;
    trial.outputs = graph_.node(id).outputs;
    trial.sources = graph_.node(id).sources;
    for (size_t i = 0; i < trial.inputs.size(); ++i) {
      if (IsFull(trial.inputs[i]) && !MayStayFull(trial.op, i)) {
        FUSEE_TRY(trial.inputs[i], InType(trial.inputs[i], id));
      }
    }
    std::vector<ir::Constraint> constraints;
    std::vector<ir::ValueInfo> infos;
    if (Status status = ops::Infer(graph_, trial, &constraints, &infos); !status.ok())
      return "its operator does not take " + std::string(DTypeName(options_.dtype));
    for (size_t i = 0; i < infos.size(); ++i) {
      const ir::ValueId v = trial.outputs[i];
      if (!v.valid()) continue;
      const DType want = IsFull(v) ? options_.dtype : graph_.value(v).info.dtype;
      if (infos[i].dtype != want) return std::string("its results would keep another type");
    }
    graph_.node(id).inputs = trial.inputs;
    for (ir::ValueId v : trial.outputs) {
      if (!IsFull(v)) continue;
      graph_.value(v).info.dtype = options_.dtype;
      was_full_.insert(v);
    }
    return std::string();
  }

  // A cast to float32 becomes one to the type; a cast from float32 takes what its operand became,
  // and is nothing when it goes to the type.
  Result<std::string> TryConvertCast(ir::NodeId id) {
    ir::Node& node = graph_.node(id);
    const ir::ValueId result = node.outputs[0];
    if (IsFull(result)) {
      node.attrs.Set("to", static_cast<int64_t>(options_.dtype));
      graph_.value(result).info.dtype = options_.dtype;
      was_full_.insert(result);
      return std::string();
    }
    if (graph_.value(result).info.dtype == options_.dtype) return std::string();
    return std::string("it leaves float32");
  }

  // The value in the type: a rounded constant, or a Cast right before the node that asks first.
  Result<ir::ValueId> InType(ir::ValueId value, ir::NodeId before) {
    if (const auto it = converted_.find(value); it != converted_.end()) return it->second;
    const std::string name =
        graph_.FreshName(fmt::format("{}/{}", graph_.value(value).name, DTypeName(options_.dtype)));
    ir::ValueId result;
    if (graph_.value(value).constant.present()) {
      FUSEE_TRY(Tensor rounded, Round(graph_.value(value).constant));
      result = graph_.AddConstant(name, std::move(rounded));
    } else {
      FUSEE_TRY(result, InsertCast(value, options_.dtype, name, before));
    }
    converted_[value] = result;
    return result;
  }

  Result<Tensor> Round(const Tensor& tensor) const {
    TensorView out;
    FUSEE_TRY(Tensor rounded, Tensor::Allocate(options_.dtype, tensor.shape(), &out));
    const auto* from = tensor.view().as<float>();
    auto* to = static_cast<uint16_t*>(out.data);
    for (int64_t i = 0; i < tensor.elements(); ++i)
      to[i] = options_.dtype == DType::kF16 ? FloatToHalfBits(from[i]) : FloatToBf16Bits(from[i]);
    return rounded;
  }

  Result<ir::ValueId> InsertCast(ir::ValueId value, DType to, const std::string& name,
                                 ir::NodeId before) {
    ir::Node cast;
    cast.op = "Cast";
    cast.inputs = {value};
    cast.attrs.Set("to", static_cast<int64_t>(to));
    if (const ir::NodeId producer = graph_.value(value).producer; producer.valid())
      cast.sources = graph_.node(producer).sources;
    FUSEE_TRY(const std::vector<ir::ValueId> ids,
              ops::AddInferredNode(graph_, std::move(cast), std::span(&name, 1), before));
    ++report_.casts;
    return ids[0];
  }

  // The node's converted operands come back to float32.
  Status KeepFull(ir::NodeId id) {
    const std::vector<ir::ValueId> inputs = graph_.node(id).inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].valid() || !was_full_.contains(inputs[i])) continue;
      // A cast from the type to something else reads it as well as float32.
      if (graph_.node(id).op == "Cast") continue;
      FUSEE_TRY(graph_.node(id).inputs[i], Restored(inputs[i], id));
    }
    return OkStatus();
  }

  Result<ir::ValueId> Restored(ir::ValueId value, ir::NodeId before) {
    if (const auto it = restored_.find(value); it != restored_.end()) return it->second;
    const std::string name = graph_.FreshName(graph_.value(value).name + "/f32");
    FUSEE_TRY(const ir::ValueId result, InsertCast(value, DType::kF32, name, before));
    return restored_[value] = result;
  }

  Status RestoreOutputs() {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const ir::ValueId value = graph_.outputs()[i];
      if (!was_full_.contains(value)) continue;
      FUSEE_TRY(const ir::ValueId full, Restored(value, ir::NodeId()));
      graph_.SetOutput(i, full);
    }
    return OkStatus();
  }

  void DropUnusedConstants() {
    const std::vector<uint32_t> uses = graph_.UseCounts();
    for (const auto& [full, rounded] : converted_) {
      if (graph_.value(full).constant.present() && uses[full.index()] == 0)
        graph_.EraseConstant(full);
      if (graph_.value(rounded).constant.present() && uses[rounded.index()] == 0)
        graph_.EraseConstant(rounded);
    }
  }

  ir::Graph& graph_;
  const PrecisionOptions& options_;
  const double max_;
  PrecisionReport report_;
  std::set<ir::ValueId> was_full_;                // float32 once, of the type now
  std::map<ir::ValueId, ir::ValueId> converted_;  // float32 value -> the same in the type
  std::map<ir::ValueId, ir::ValueId> restored_;   // value of the type -> its float32 copy
};

}  // namespace

Result<PrecisionReport> ConvertPrecision(ir::Graph& graph, const PrecisionOptions& options) {
  if (options.dtype != DType::kF16 && options.dtype != DType::kBF16) {
    return InvalidArgument(
        fmt::format("precision {}: expected f16 or bf16", DTypeName(options.dtype)));
  }
  return Converter(graph, options).Run();
}

}  // namespace fusee::quant
