#include "passes/permute_node.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace fusee::passes {
namespace {

using Ints = std::vector<int64_t>;

// Each result element from the elements at its position, with broadcasting; no attribute names an
// axis.
constexpr std::string_view kElementwise[] = {"Abs",
                                             "Acos",
                                             "Acosh",
                                             "Add",
                                             "And",
                                             "Asin",
                                             "Asinh",
                                             "Atan",
                                             "Atanh",
                                             "BitShift",
                                             "BitwiseAnd",
                                             "BitwiseNot",
                                             "BitwiseOr",
                                             "BitwiseXor",
                                             "Cast",
                                             "Ceil",
                                             "Celu",
                                             "Clip",
                                             "Cos",
                                             "Cosh",
                                             "Div",
                                             "Elu",
                                             "Equal",
                                             "Erf",
                                             "Exp",
                                             "Floor",
                                             "Gelu",
                                             "Greater",
                                             "GreaterOrEqual",
                                             "HardSigmoid",
                                             "HardSwish",
                                             "Identity",
                                             "IsInf",
                                             "IsNaN",
                                             "LeakyRelu",
                                             "Less",
                                             "LessOrEqual",
                                             "Log",
                                             "Max",
                                             "Min",
                                             "Mish",
                                             "Mod",
                                             "Mul",
                                             "Neg",
                                             "Not",
                                             "Or",
                                             "PRelu",
                                             "Pow",
                                             "Reciprocal",
                                             "Relu",
                                             "Round",
                                             "Selu",
                                             "Shrink",
                                             "Sigmoid",
                                             "Sign",
                                             "Sin",
                                             "Sinh",
                                             "Softplus",
                                             "Softsign",
                                             "Sqrt",
                                             "Sub",
                                             "Swish",
                                             "Tan",
                                             "Tanh",
                                             "ThresholdedRelu",
                                             "Where",
                                             "Xor"};

bool IsElementwise(std::string_view op) {
  return std::find(std::begin(kElementwise), std::end(kElementwise), op) != std::end(kElementwise);
}

bool IsPool(std::string_view op) {
  return op == "MaxPool" || op == "AveragePool" || op == "LpPool" || op == "GlobalMaxPool" ||
         op == "GlobalAveragePool";
}

class Permuter {
 public:
  Permuter(const ir::Graph& graph, const ir::Node& node, ir::NodeId id, const Permutation& perm,
           std::span<const uint32_t> uses, const Target& target)
      : graph_(graph), node_(node), id_(id), perm_(perm), uses_(uses), target_(target) {}

  std::optional<Unit> Permute() {
    if (node_.inputs.empty() || !node_.regions.empty() || !ResultsFit()) return std::nullopt;
    unit_.nodes = {id_};
    unit_.steps.resize(1);
    step().op = node_.op;
    step().attrs = node_.attrs;
    step().dims = node_.dims;
    step().sources = node_.sources;
    for (ir::ValueId operand : node_.inputs) unit_.operands.push_back({operand, false});
    return Decide() ? std::optional(std::move(unit_)) : std::nullopt;
  }

 private:
  Unit::Step& step() { return unit_.steps[0]; }
  size_t rank() const { return perm_.size(); }
  const ir::SymShape& ShapeOf(ir::ValueId id) const { return graph_.value(id).info.shape; }
  int64_t Mapped(int64_t axis) const { return perm_[static_cast<size_t>(axis)]; }

  // Tracked elements are shapes in the making, which nobody stores permuted.
  bool ResultsFit() const {
    return std::all_of(node_.outputs.begin(), node_.outputs.end(), [&](ir::ValueId id) {
      return !id.valid() || !graph_.value(id).info.elements;
    });
  }
  bool ResultsHaveRank() const {
    return std::all_of(node_.outputs.begin(), node_.outputs.end(),
                       [&](ir::ValueId id) { return !id.valid() || ShapeOf(id).size() == rank(); });
  }

  bool Decide() {
    const std::string_view op = node_.op;
    if (op == "ArgMax" || op == "ArgMin" || op.starts_with("Reduce")) return Reduction();
    if (op == "Reshape") return Shuffle();
    if (!ResultsHaveRank()) return false;
    if (IsElementwise(op)) return Elementwise();
    if (op == "Concat") return AllOperands() && MapAxis();
    if (!FirstOperand()) return false;
    if (op == "Split") return MapAxis();
    if (op == "Softmax" || op == "LogSoftmax") return Softmax();
    if (op == "Slice") return MapAxes();
    if (op == "Pad") return PermuteDims(2);
    if (op == "Resize") return Resize();
    if (op == "QuantizeLinear" || op == "DequantizeLinear") return Quantisation();
    if (IsPool(op) || op == "BatchNormalization") return Channels();
    return false;
  }

  // --- operands ---

  bool FirstOperand() {
    if (!node_.inputs[0].valid() || ShapeOf(node_.inputs[0]).size() != rank()) return false;
    unit_.operands[0].permuted = true;
    return true;
  }
  bool AllOperands() {
    for (Unit::Operand& operand : unit_.operands) {
      if (!operand.value.valid() || ShapeOf(operand.value).size() != rank()) return false;
      operand.permuted = true;
    }
    return true;
  }
  bool Elementwise() {
    bool any = false;
    for (Unit::Operand& operand : unit_.operands) {
      if (!operand.value.valid()) continue;
      const ir::SymShape& shape = ShapeOf(operand.value);
      if (shape.size() < rank() && ir::ElementCount(shape) == ir::Dim(1)) continue;
      // A constant is given the missing dimensions when it is rewritten.
      if (shape.size() > rank() ||
          (shape.size() < rank() && !graph_.value(operand.value).constant.present()))
        return false;
      operand.permuted = true;
      any = any || shape.size() == rank();
    }
    return any;
  }

  // --- attributes ---

  bool MapAxis() {
    const auto axis = node_.attrs.Int("axis", 0);
    if (!axis.ok() || *axis < 0 || *axis >= static_cast<int64_t>(rank())) return false;
    step().attrs.Set("axis", Mapped(*axis));
    return true;
  }
  bool MapAxes() {
    auto axes = node_.attrs.Ints("axes");
    if (!axes.ok()) return false;
    for (int64_t& axis : *axes) {
      if (axis < 0 || axis >= static_cast<int64_t>(rank())) return false;
      axis = Mapped(axis);
    }
    step().attrs.Set("axes", *axes);
    return true;
  }
  // dims hold `lists` lists of one entry per axis.
  bool PermuteDims(size_t lists) {
    if (node_.dims.size() != lists * rank()) return false;
    for (size_t list = 0; list < lists; ++list) {
      for (size_t a = 0; a < rank(); ++a)
        step().dims[list * rank() + static_cast<size_t>(perm_[a])] = node_.dims[list * rank() + a];
    }
    return true;
  }
  bool PermuteFloats(const char* name, size_t lists) {
    const auto values = node_.attrs.Floats(name);
    if (!values.ok()) return false;
    if (values->empty()) return true;
    if (values->size() != lists * rank()) return false;
    std::vector<double> out = *values;
    for (size_t list = 0; list < lists; ++list) {
      for (size_t a = 0; a < rank(); ++a)
        out[list * rank() + static_cast<size_t>(perm_[a])] = (*values)[list * rank() + a];
    }
    step().attrs.Set(name, out);
    return true;
  }

  // --- operators ---

  // Kernels are fast along the innermost axis, so it is not moved away from there.
  bool Softmax() {
    const auto axis = node_.attrs.Int("axis", 0);
    const auto count = node_.attrs.Int("axes_count", 1);
    if (!axis.ok() || !count.ok() || *count < 1) return false;
    const auto n = static_cast<int64_t>(rank());
    if (*axis < 0 || *axis + *count > n) return false;
    Ints mapped;
    for (int64_t i = 0; i < *count; ++i) mapped.push_back(Mapped(*axis + i));
    const auto [low, high] = std::minmax_element(mapped.begin(), mapped.end());
    if (*high - *low + 1 != *count) return false;
    if (*axis + *count == n && *high != n - 1) return false;
    step().attrs.Set("axis", *low);
    return true;
  }

  bool Resize() { return PermuteDims(1) && PermuteFloats("scales", 1) && PermuteFloats("roi", 2); }

  bool Quantisation() {
    const auto block = node_.attrs.Int("block_size", 0);
    if (!block.ok() || *block != 0) return false;
    return ir::ElementCount(ShapeOf(node_.inputs[1])) == ir::Dim(1) || MapAxis();
  }

  // Reductions that keep their axes as 1 give a permuted result. Those that drop them give the same
  // result either way if the axes that stay keep their order.
  bool Reduction() {
    if (!FirstOperand()) return false;
    const bool one_axis = node_.op.starts_with("Arg");
    Ints axes;
    if (one_axis) {
      const auto axis = node_.attrs.Int("axis", 0);
      if (!axis.ok() || *axis < 0 || *axis >= static_cast<int64_t>(rank())) return false;
      axes = {*axis};
      step().attrs.Set("axis", Mapped(*axis));
    } else {
      const auto given = node_.attrs.Ints("axes");
      if (!given.ok()) return false;
      axes = *given;
      Ints mapped;
      for (int64_t axis : axes) {
        if (axis < 0 || axis >= static_cast<int64_t>(rank())) return false;
        mapped.push_back(Mapped(axis));
      }
      std::sort(mapped.begin(), mapped.end());
      step().attrs.Set("axes", mapped);
    }
    const auto keep = node_.attrs.Int("keepdims", 1);
    if (!keep.ok()) return false;
    if (*keep != 0) return ResultsHaveRank();
    unit_.results_permuted = false;
    int64_t last = -1;
    for (int64_t axis = 0; axis < static_cast<int64_t>(rank()); ++axis) {
      if (std::find(axes.begin(), axes.end(), axis) != axes.end()) continue;
      if (Mapped(axis) < last) return false;
      last = Mapped(axis);
    }
    return true;
  }

  // Pools and normalisations have a layout instead of axes. Only a target that asks for
  // channels-last has kernels for it.
  bool Channels() {
    if (rank() < 3 || (node_.outputs.size() > 1 && node_.outputs[1].valid())) return false;
    const auto layout = node_.attrs.Str("layout", "NCHW");
    if (!layout.ok()) return false;
    if (*layout == "NCHW" && perm_ == ToChannelsFirst(rank()) && target_.channels_last) {
      step().attrs.Set("layout", "NHWC");
      return true;
    }
    if (*layout == "NHWC" && perm_ == ToChannelsLast(rank())) {
      step().attrs.Erase("layout");
      return true;
    }
    return false;
  }

  // A shuffle of channels: an axis is split in two, the two change places, and become one again.
  //
  //   Reshape [.., c, ..] -> [.., g, k, ..];  Transpose -> [.., k, g, ..];  Reshape -> [.., c, ..]
  bool Shuffle() {
    const ir::Node* swap = ProducerOf(graph_, node_.inputs[0], "Transpose");
    if (swap == nullptr || uses_[node_.inputs[0].index()] != 1) return false;
    const ir::Node* split = ProducerOf(graph_, swap->inputs[0], "Reshape");
    if (split == nullptr || uses_[swap->inputs[0].index()] != 1) return false;
    const ir::ValueId x = split->inputs[0];
    const ir::SymShape& wide = ShapeOf(swap->inputs[0]);
    if (ShapeOf(x).size() != rank() || !(ShapeOf(x) == ShapeOf(node_.outputs[0])) ||
        wide.size() != rank() + 1)
      return false;
    const auto axis = SwappedAxis(PermOf(*swap));
    if (!axis || !Splits(ShapeOf(x), wide, *axis)) return false;

    // What is stored has the axis elsewhere; it is split and joined there.
    const auto at = static_cast<size_t>(Mapped(static_cast<int64_t>(*axis)));
    const ir::SymShape stored = Permuted(ShapeOf(x), Inverse(perm_));
    ir::SymShape stored_wide = stored;
    stored_wide[at] = wide[*axis];
    stored_wide.insert(stored_wide.begin() + static_cast<ptrdiff_t>(at) + 1, wide[*axis + 1]);
    Permutation exchange(rank() + 1);
    std::iota(exchange.begin(), exchange.end(), 0);
    std::swap(exchange[at], exchange[at + 1]);

    unit_.nodes = {graph_.value(swap->inputs[0]).producer, graph_.value(node_.inputs[0]).producer,
                   id_};
    unit_.operands = {{x, true}};
    unit_.steps.assign(3, Unit::Step());
    unit_.steps[0].op = unit_.steps[2].op = "Reshape";
    unit_.steps[0].dims = stored_wide;
    unit_.steps[2].dims = stored;
    unit_.steps[1].op = "Transpose";
    unit_.steps[1].attrs.Set("perm", exchange);
    for (size_t i = 0; i < 3; ++i) unit_.steps[i].sources = graph_.node(unit_.nodes[i]).sources;
    return true;
  }

  // The axis that changes places with the next, when that is all the permutation does.
  static std::optional<size_t> SwappedAxis(Permutation perm) {
    for (size_t i = 0; i + 1 < perm.size(); ++i) {
      if (perm[i] == static_cast<int64_t>(i)) continue;
      std::swap(perm[i], perm[i + 1]);
      return IsIdentity(perm) ? std::optional(i) : std::nullopt;
    }
    return std::nullopt;
  }
  // Is `wide` the shape with this axis as two?
  static bool Splits(const ir::SymShape& shape, const ir::SymShape& wide, size_t axis) {
    ir::SymShape joined = wide;
    joined[axis] = wide[axis] * wide[axis + 1];
    joined.erase(joined.begin() + static_cast<ptrdiff_t>(axis) + 1);
    return joined == shape;
  }

  const ir::Graph& graph_;
  const ir::Node& node_;
  ir::NodeId id_;
  const Permutation& perm_;
  std::span<const uint32_t> uses_;
  const Target& target_;
  Unit unit_;
};

}  // namespace

std::optional<Unit> PermuteNode(const ir::Graph& graph, const ir::Node& node, ir::NodeId id,
                                const Permutation& perm, std::span<const uint32_t> uses,
                                const Target& target) {
  return Permuter(graph, node, id, perm, uses, target).Permute();
}

}  // namespace fusee::passes
