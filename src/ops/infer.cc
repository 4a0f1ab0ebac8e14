#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

Status InferContext::Error(std::string_view message) const {
  return InvalidArgument(fmt::format("{}: {}", ir::DescribeNode(node_), message));
}

Status InferContext::Refuse(std::string_view message) const {
  return Unimplemented(fmt::format("{}: {}", ir::DescribeNode(node_), message));
}

Result<int> InferContext::Axis(int64_t axis, int limit) const {
  if (axis < -limit || axis >= limit) {
    return Error(
        fmt::format("axis {} is out of range, expected {} to {}", axis, -limit, limit - 1));
  }
  return static_cast<int>(axis < 0 ? axis + limit : axis);
}

Result<ir::Dim> InferContext::Count(size_t i, size_t expected) const {
  if (node_.counts.size() != expected || i >= expected)
    return Error(fmt::format("finds {} sizes, expected {}", node_.counts.size(), expected));
  return ir::Dim::Symbol(node_.counts[i]);
}

Status InferContext::RequireEqual(const ir::Dim& a, const ir::Dim& b, std::string_view what) {
  if (a == b) return OkStatus();
  const ir::DimRange ra = a.Range(symbols());
  const ir::DimRange rb = b.Range(symbols());
  if (ra.max < rb.min || rb.max < ra.min) {
    return Error(fmt::format("{} must agree, got {} and {}", what, a.ToString(), b.ToString()));
  }
  if (constraints_ != nullptr) {
    constraints_->push_back(
        {a, b, fmt::format("{}: {} must agree", ir::DescribeNode(node_), what)});
  }
  return OkStatus();
}

Result<ir::Dim> InferContext::BroadcastDim(const ir::Dim& a, const ir::Dim& b) {
  if (a == b || b == ir::Dim(1)) return a;
  if (a == ir::Dim(1)) return b;
  FUSEE_TRY(RequireEqual(a, b, "broadcast dimensions"));
  return a.is_constant() ? a : b;  // the constant is the better name of the two
}

Result<ir::SymShape> InferContext::Broadcast(const ir::SymShape& a, const ir::SymShape& b) {
  const ir::SymShape& longer = a.size() >= b.size() ? a : b;
  const ir::SymShape& shorter = a.size() >= b.size() ? b : a;
  ir::SymShape out = longer;
  const size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    FUSEE_TRY(out[offset + i], BroadcastDim(longer[offset + i], shorter[i]));
  }
  return out;
}

namespace {

Status RefuseNarrow(const InferContext& context, std::string_view what, size_t i, DType dtype) {
  return context.Refuse(fmt::format(
      "{} {} is {}, which only conversions (Cast, QuantizeLinear, DequantizeLinear) and "
      "operators that move elements take; compute in float32 between two Casts",
      what, i, OnnxTypeName(static_cast<int32_t>(dtype))));
}

}  // namespace

Status Infer(const ir::Graph& graph, const ir::Node& node, std::vector<ir::Constraint>* constraints,
             std::vector<ir::ValueInfo>* infos) {
  const OpDef* op = FindOp(node.op);
  if (op == nullptr || op->infer == nullptr) {
    return Internal(fmt::format("{}: no operator of this name", ir::DescribeNode(node)));
  }
  InferContext context(graph, node, constraints);
  for (const ir::Dim& d : node.dims) {
    if (d.is_unknown())
      return context.Refuse("a size it needs cannot be expressed by its inputs' sizes");
  }
  for (size_t i = 0; i < context.input_count() && !op->narrow; ++i) {
    if (IsNarrow(context.dtype(i))) return RefuseNarrow(context, "operand", i, context.dtype(i));
  }
  FUSEE_TRY(op->infer(context));
  for (size_t i = 0; i < context.outputs().size(); ++i) {
    ir::ValueInfo& info = context.outputs()[i];
    if (IsNarrow(info.dtype) && !op->narrow) return RefuseNarrow(context, "result", i, info.dtype);
    if (node.outputs[i].valid() || !node.outputs.empty()) {
      if (info.dtype == DType::kInvalid)
        return context.Error(fmt::format(
            "result {} has no type: an operand is missing or of no type, or the operator "
            "has fewer results",
            i));
      if (info.shape.size() > kMaxRank)
        return context.Refuse(
            fmt::format("rank {} is above the limit of {}", info.shape.size(), kMaxRank));
    }
    for (const ir::Dim& d : info.shape) {
      if (d.is_unknown())
        return context.Refuse("a result's size cannot be expressed by its inputs' sizes");
    }
    // Tracking is for shapes; larger tensors are data.
    if (info.elements && (info.elements->size() > static_cast<size_t>(ir::kMaxTrackedElements) ||
                          IsFloat(info.dtype))) {
      info.elements.reset();
    }
  }
  *infos = std::move(context.outputs());
  return OkStatus();
}

Result<std::vector<ir::ValueId>> AddInferredNode(ir::Graph& graph, ir::Node node,
                                                 std::span<const std::string> result_names,
                                                 ir::NodeId before) {
  node.outputs.assign(result_names.size(), ir::ValueId());
  std::vector<ir::ValueInfo> infos;
  FUSEE_TRY(Infer(graph, node, &graph.constraints(), &infos));
  const ir::NodeId id = before.valid()
                            ? graph.InsertNode(before, std::move(node), result_names, infos)
                            : graph.AddNode(std::move(node), result_names, infos);
  return graph.node(id).outputs;
}

}  // namespace fusee::ops
