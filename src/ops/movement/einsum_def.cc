// Einsum: products of operands summed over the labels that the result does not name, spelled with
// other operators. Operands are folded from the left, two at a time:
//
//   ii   -> i     Reshape [.., n * n], Pad to n * n + n, Reshape [.., n, n + 1], Slice [.., n, 1]:
//                 the diagonal is then a column
//   only one of the two has the label, and it is not needed any more: ReduceSum
//   nothing else to sum over: Mul, with each operand's axes aligned by Transpose and Reshape
//   else: MatMul of [batch, left, summed] and [batch, summed, right]
//
// A dimension of 1 broadcasts against the same label elsewhere, as with numpy. Integers narrower
// than 32 bits compute in 32, and wrap to their own width at the end.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ops/movement/einsum_equation.h"
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

using LabelList = std::vector<AxisLabel>;

bool Has(const LabelList& labels, AxisLabel label) {
  return std::ranges::find(labels, label) != labels.end();
}

struct Operand {
  ir::ValueId value;
  LabelList labels;
};

class Contraction {
 public:
  explicit Contraction(ImportContext& context) : context_(context) {}

  // Prepares an operand: diagonals of repeated labels, and the sizes of its labels.
  Result<Operand> Read(ir::ValueId value, LabelList labels) {
    Operand operand{value, std::move(labels)};
    for (size_t i = 0; i < operand.labels.size();) {
      const auto first = operand.labels.begin() + static_cast<std::ptrdiff_t>(i);
      const auto again = std::find(first + 1, operand.labels.end(), *first);
      if (again == operand.labels.end()) {
        ++i;
        continue;
      }
      FUSEE_TRY(Diagonal(operand, i, static_cast<size_t>(again - operand.labels.begin())));
      i = 0;  // the labels moved
    }
    for (size_t i = 0; i < operand.labels.size(); ++i) {
      FUSEE_TRY(Unify(operand.labels[i], Shape(operand)[i]));
    }
    return operand;
  }

  // Drops the axes that broadcast: 1 here, more elsewhere. After all operands were read.
  Result<Operand> Squeeze(Operand operand) {
    DimVector kept;
    LabelList labels;
    for (size_t i = 0; i < operand.labels.size(); ++i) {
      const AxisLabel label = operand.labels[i];
      if (Shape(operand)[i] == ir::Dim(1) && !(sizes_.at(label) == ir::Dim(1))) continue;
      kept.push_back(sizes_.at(label));
      labels.push_back(label);
    }
    FUSEE_TRY(const ir::ValueId value, ReshapeTo(operand.value, std::move(kept)));
    return Operand{value, std::move(labels)};
  }

  // Sums over the labels that are not in keep.
  Result<Operand> SumOut(Operand operand, const LabelList& keep) {
    std::vector<int64_t> axes;
    LabelList labels;
    for (size_t i = 0; i < operand.labels.size(); ++i) {
      if (Has(keep, operand.labels[i])) {
        labels.push_back(operand.labels[i]);
      } else {
        axes.push_back(static_cast<int64_t>(i));
      }
    }
    if (axes.empty()) return operand;
    FUSEE_TRY(const ir::ValueId value,
              context_.Emit("ReduceSum", {operand.value},
                            {{"axes", std::move(axes)}, {"keepdims", int64_t{0}}}));
    return Operand{value, std::move(labels)};
  }

  // The product of a and b, summed over the labels that are not in keep.
  Result<Operand> Multiply(Operand a, Operand b, const LabelList& keep) {
    FUSEE_TRY(a, SumOut(std::move(a), Union(keep, b.labels)));
    FUSEE_TRY(b, SumOut(std::move(b), Union(keep, a.labels)));
    LabelList batch, summed, left, right;
    for (const AxisLabel label : a.labels) {
      (!Has(b.labels, label) ? left : Has(keep, label) ? batch : summed).push_back(label);
    }
    for (const AxisLabel label : b.labels) {
      if (!Has(a.labels, label)) right.push_back(label);
    }
    Operand product{{}, Union(Union(batch, left), right)};
    if (summed.empty()) {
      FUSEE_TRY(const ir::ValueId x, Arrange(a, product.labels));
      FUSEE_TRY(const ir::ValueId y, Arrange(b, product.labels));
      FUSEE_TRY(product.value, context_.Emit("Mul", {x, y}));
      return product;
    }
    FUSEE_TRY(const ir::ValueId x, Matrix(a, batch, left, summed));
    FUSEE_TRY(const ir::ValueId y, Matrix(b, batch, summed, right));
    FUSEE_TRY(const ir::ValueId z, context_.Emit("MatMul", {x, y}));
    FUSEE_TRY(product.value, ReshapeTo(z, Sizes(product.labels)));
    return product;
  }

  // The operand with its axes in this order. Precondition: a permutation of its labels.
  Result<ir::ValueId> Permute(const Operand& operand, const LabelList& order) {
    std::vector<int64_t> perm;
    for (const AxisLabel label : order) {
      perm.push_back(std::ranges::find(operand.labels, label) - operand.labels.begin());
    }
    if (std::ranges::is_sorted(perm)) return operand.value;
    return context_.Emit("Transpose", {operand.value}, {{"perm", std::move(perm)}});
  }

 private:
  const ir::SymShape& Shape(const Operand& operand) {
    return context_.graph().value(operand.value).info.shape;
  }

  static LabelList Union(LabelList a, const LabelList& b) {
    for (const AxisLabel label : b) {
      if (!Has(a, label)) a.push_back(label);
    }
    return a;
  }

  DimVector Sizes(const LabelList& labels) const {
    DimVector sizes;
    for (const AxisLabel label : labels) sizes.push_back(sizes_.at(label));
    return sizes;
  }

  Result<ir::ValueId> ReshapeTo(ir::ValueId value, DimVector shape) {
    if (context_.graph().value(value).info.shape == shape) return value;
    return context_.Emit("Reshape", {value}, {}, std::move(shape));
  }

  // Both are sizes of one label; the runs that must find them equal get a constraint.
  Status Unify(AxisLabel label, const ir::Dim& size) {
    const auto [entry, fresh] = sizes_.emplace(label, size);
    ir::Dim& known = entry->second;
    if (fresh || known == size || size == ir::Dim(1)) return OkStatus();
    if (known == ir::Dim(1)) {
      known = size;
      return OkStatus();
    }
    FUSEE_TRY(RequireEqual(known, size));
    if (size.is_constant()) known = size;
    return OkStatus();
  }

  Status RequireEqual(const ir::Dim& a, const ir::Dim& b) {
    if (a == b) return OkStatus();
    const ir::DimRange ra = a.Range(context_.graph().symbols());
    const ir::DimRange rb = b.Range(context_.graph().symbols());
    if (ra.max < rb.min || rb.max < ra.min) {
      return context_.Error(
          fmt::format("axes of one label have sizes {} and {}", a.ToString(), b.ToString()));
    }
    context_.graph().constraints().push_back(
        {a, b,
         fmt::format("node '{}' (Einsum): sizes of one label must agree",
                     context_.node().DisplayName())});
    return OkStatus();
  }

  // Axes i < j of the operand have one label: keeps their diagonal, as the last axis.
  Status Diagonal(Operand& operand, size_t i, size_t j) {
    const AxisLabel label = operand.labels[i];
    std::vector<int64_t> perm;
    LabelList labels;
    DimVector rest;
    for (size_t k = 0; k < operand.labels.size(); ++k) {
      if (k == i || k == j) continue;
      perm.push_back(static_cast<int64_t>(k));
      labels.push_back(operand.labels[k]);
      rest.push_back(Shape(operand)[k]);
    }
    perm.push_back(static_cast<int64_t>(i));
    perm.push_back(static_cast<int64_t>(j));
    const ir::Dim n = Shape(operand)[i];
    FUSEE_TRY(RequireEqual(n, Shape(operand)[j]));
    ir::ValueId value = operand.value;
    if (!std::ranges::is_sorted(perm)) {
      FUSEE_TRY(value, context_.Emit("Transpose", {value}, {{"perm", std::move(perm)}}));
    }
    const auto with = [&](std::initializer_list<ir::Dim> tail) {
      DimVector shape = rest;
      shape.insert(shape.end(), tail);
      return shape;
    };
    const auto last = static_cast<int64_t>(rest.size());
    FUSEE_TRY(value, context_.Emit("Reshape", {value}, {}, with({n * n})));
    DimVector pads(2 * rest.size() + 2, 0);
    pads.back() = n;
    FUSEE_TRY(value,
              context_.Emit("Pad", {value}, {{"mode", std::string("constant")}}, std::move(pads)));
    FUSEE_TRY(value, context_.Emit("Reshape", {value}, {}, with({n, n + ir::Dim(1)})));
    FUSEE_TRY(value, context_.Emit("Slice", {value},
                                   {{"axes", std::vector<int64_t>{last + 1}},
                                    {"steps", std::vector<int64_t>{1}}},
                                   {0, 1}));
    FUSEE_TRY(operand.value, context_.Emit("Reshape", {value}, {}, with({n})));
    labels.push_back(label);
    operand.labels = std::move(labels);
    return OkStatus();
  }

  // The operand as a factor of a Mul whose result has the axes `all`; those that it lacks are 1.
  Result<ir::ValueId> Arrange(const Operand& operand, const LabelList& all) {
    LabelList order;
    DimVector shape;
    for (const AxisLabel label : all) {
      const bool has = Has(operand.labels, label);
      if (has) order.push_back(label);
      shape.push_back(has ? sizes_.at(label) : ir::Dim(1));
    }
    FUSEE_TRY(const ir::ValueId value, Permute(operand, order));
    return ReshapeTo(value, std::move(shape));
  }

  // [batch, rows, columns], each the product of its labels' sizes; no batch axis without labels.
  Result<ir::ValueId> Matrix(const Operand& operand, const LabelList& batch, const LabelList& rows,
                             const LabelList& columns) {
    FUSEE_TRY(const ir::ValueId value, Permute(operand, Union(Union(batch, rows), columns)));
    DimVector shape;
    if (!batch.empty()) shape.push_back(ir::ElementCount(Sizes(batch)));
    shape.push_back(ir::ElementCount(Sizes(rows)));
    shape.push_back(ir::ElementCount(Sizes(columns)));
    return ReshapeTo(value, std::move(shape));
  }

  ImportContext& context_;
  std::map<AxisLabel, ir::Dim> sizes_;
};

// The type that sums are made in.
DType WideType(DType type) {
  if (type == DType::kI8 || type == DType::kI16) return DType::kI32;
  if (type == DType::kU8 || type == DType::kU16) return DType::kU32;
  return type;
}

Result<ir::ValueId> CastTo(ImportContext& context, ir::ValueId value, DType type) {
  if (context.graph().value(value).info.dtype == type) return value;
  return context.Emit("Cast", {value}, {{"to", static_cast<int64_t>(type)}});
}

Result<EinsumEquation> ReadEquation(ImportContext& context) {
  if (!context.HasAttr("equation")) return context.Error("attribute 'equation' is required");
  FUSEE_TRY(const std::string text, context.Str("equation", ""));
  std::vector<int> ranks;
  for (size_t i = 0; i < context.input_count(); ++i) {
    if (!context.has_input(i)) return context.Error(fmt::format("operand {} is missing", i));
    if (context.info(i).dtype != context.info(0).dtype) {
      return context.Error("the operands differ in type");
    }
    ranks.push_back(context.rank(i));
  }
  if (ranks.empty()) return context.Error("needs an operand");
  if (context.info(0).dtype == DType::kBool) return context.Error("is not defined for bool");
  auto equation = ParseEinsumEquation(text, ranks);
  if (equation.ok()) return equation;
  const std::string message = fmt::format("equation '{}': {}", text, equation.status().message());
  return equation.status().code() == StatusCode::kUnimplemented ? context.Refuse(message)
                                                                : context.Error(message);
}

Status ImportEinsum(ImportContext& context) {
  FUSEE_TRY(const EinsumEquation equation, ReadEquation(context));
  Contraction contraction(context);
  const DType type = context.info(0).dtype;
  std::vector<Operand> operands;
  for (size_t i = 0; i < equation.operands.size(); ++i) {
    FUSEE_TRY(const ir::ValueId value, CastTo(context, context.input(i), WideType(type)));
    FUSEE_TRY(Operand operand, contraction.Read(value, equation.operands[i]));
    operands.push_back(std::move(operand));
  }
  for (Operand& operand : operands) {
    FUSEE_TRY(operand, contraction.Squeeze(std::move(operand)));
  }
  Operand product = std::move(operands[0]);
  for (size_t i = 1; i < operands.size(); ++i) {
    LabelList keep = equation.result;
    for (size_t later = i + 1; later < operands.size(); ++later) {
      keep.insert(keep.end(), operands[later].labels.begin(), operands[later].labels.end());
    }
    FUSEE_TRY(product, contraction.Multiply(std::move(product), std::move(operands[i]), keep));
  }
  FUSEE_TRY(product, contraction.SumOut(std::move(product), equation.result));
  FUSEE_TRY(ir::ValueId value, contraction.Permute(product, equation.result));
  FUSEE_TRY(value, CastTo(context, value, type));
  if (std::ranges::find(context.inputs(), value) != context.inputs().end()) {
    return context.EmitAs("Identity", {value}, {});
  }
  context.SetOutput(0, value);
  return OkStatus();
}

}  // namespace

OpDef DefineEinsum() {
  return {.name = "Einsum", .imports = {{"Einsum", 12, 1 << 20, ImportEinsum}}};
}

}  // namespace fusee::ops
