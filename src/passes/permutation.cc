#include "passes/permutation.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <numeric>

namespace fusee::passes {

bool IsIdentity(const Permutation& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

Permutation Inverse(const Permutation& perm) {
  Permutation inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i)
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return inverse;
}

Permutation Compose(const Permutation& first, const Permutation& second) {
  return Permuted(first, second);
}

Permutation ToChannelsLast(size_t rank) {
  Permutation perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  perm.erase(perm.begin() + 1);
  perm.push_back(1);
  return perm;
}

Permutation ToChannelsFirst(size_t rank) { return Inverse(ToChannelsLast(rank)); }

bool MovesNoBytes(const ir::SymShape& shape, const Permutation& perm) {
  int64_t last = -1;
  for (int64_t axis : perm) {
    if (shape[static_cast<size_t>(axis)] == ir::Dim(1)) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

Result<Tensor> PermuteConstant(const Tensor& tensor, const Permutation& perm) {
  if (BitsPerElement(tensor.dtype()) % 8 != 0) {
    return Unimplemented(
        fmt::format("constants of type {} are not transposed", DTypeName(tensor.dtype())));
  }
  const int rank = static_cast<int>(perm.size());
  const int lead = rank - tensor.shape().rank();
  std::array<int64_t, kMaxRank> stride{};  // of the operand, in bytes, by result axis
  Shape shape;
  const int64_t bytes = BytesPerElement(tensor.dtype());
  for (int i = 0; i < rank; ++i) {
    const int axis = static_cast<int>(perm[static_cast<size_t>(i)]) - lead;
    shape.push_back(axis < 0 ? 1 : tensor.shape()[axis]);
    stride[static_cast<size_t>(i)] =
        axis < 0 ? 0 : tensor.shape().elements(axis + 1, tensor.shape().rank()) * bytes;
  }
  TensorView out;
  FUSEE_TRY(Tensor result, Tensor::Allocate(tensor.dtype(), shape, &out));
  const auto* src = static_cast<const char*>(tensor.view().data);
  auto* dst = static_cast<char*>(out.data);
  std::array<int64_t, kMaxRank> at{};
  int64_t from = 0;
  for (int64_t i = 0; i < shape.elements(); ++i, dst += bytes) {
    std::memcpy(dst, src + from, static_cast<size_t>(bytes));
    for (int a = rank - 1; a >= 0; --a) {
      const auto axis = static_cast<size_t>(a);
      from += stride[axis];
      if (++at[axis] < shape[a]) break;
      from -= stride[axis] * shape[a];
      at[axis] = 0;
    }
  }
  return result;
}

Permutation PermOf(const ir::Node& transpose) { return transpose.attrs.Ints("perm").value(); }

ir::ValueId AddTranspose(ir::Graph& graph, ir::ValueId value, Permutation perm,
                         const std::string& name, const std::vector<std::string>& sources,
                         ir::NodeId before) {
  const ir::ValueInfo& info = graph.value(value).info;
  const ir::ValueInfo result{info.dtype, Permuted(info.shape, perm), {}};
  ir::Node node;
  node.op = "Transpose";
  node.inputs = {value};
  node.attrs.Set("perm", std::move(perm));
  node.sources = sources;
  const std::string names[] = {name};
  const ir::NodeId id = before.valid()
                            ? graph.InsertNode(before, std::move(node), names, {&result, 1})
                            : graph.AddNode(std::move(node), names, {&result, 1});
  return graph.node(id).outputs[0];
}

}  // namespace fusee::passes
