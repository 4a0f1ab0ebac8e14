// Permutations of axes, as Transpose has them: dimension i of the result is dimension perm[i] of
// the operand.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"
#include "tensor/tensor.h"

namespace fusee::passes {

using Permutation = std::vector<int64_t>;

bool IsIdentity(const Permutation& perm);
Permutation Inverse(const Permutation& perm);
// Transpose by `first`, then by `second`.
Permutation Compose(const Permutation& first, const Permutation& second);
// [N, C, spatial...] -> [N, spatial..., C], and back. Precondition: rank >= 2.
Permutation ToChannelsLast(size_t rank);
Permutation ToChannelsFirst(size_t rank);

// result[i] = values[perm[i]]. Precondition: equal lengths.
template <typename T>
std::vector<T> Permuted(const std::vector<T>& values, const Permutation& perm) {
  std::vector<T> out;
  out.reserve(values.size());
  for (int64_t axis : perm) out.push_back(values[static_cast<size_t>(axis)]);
  return out;
}

// True when a Transpose of this shape leaves the order of the bytes: axes of size 1 apart, the
// permutation is the identity.
bool MovesNoBytes(const ir::SymShape& shape, const Permutation& perm);

// The constant transposed. A constant of lower rank is taken as if it had leading dimensions of 1,
// as broadcasting does. Errors: kUnimplemented for types below a byte; no memory.
Result<Tensor> PermuteConstant(const Tensor& tensor, const Permutation& perm);

// The node's permutation. Precondition: a Transpose that inference accepted.
Permutation PermOf(const ir::Node& transpose);

// Transpose(value, perm), placed before `before` (an invalid id: at the end); its result has a name
// like `name`. It stands for the given ONNX nodes.
ir::ValueId AddTranspose(ir::Graph& graph, ir::ValueId value, Permutation perm,
                         const std::string& name, const std::vector<std::string>& sources,
                         ir::NodeId before);

}  // namespace fusee::passes
