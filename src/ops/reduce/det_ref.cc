// Det: Gaussian elimination with partial pivoting in double, of a copy in the workspace. Of equal
// candidates the first row is the pivot, so that the order of operations is one.
#include <algorithm>
#include <cmath>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  int64_t max_order = 0;  // that the workspace is for
};

Status Check(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const int rank = in.rank();
  if (rank < 2 || in[rank - 1] != in[rank - 2] || in[rank - 1] > params.max_order) {
    return InvalidArgument("Det: needs square matrices of order " +
                           std::to_string(params.max_order) + " at most, got " + in.ToString());
  }
  Shape want = in;
  want.set_rank(rank - 2);
  return ExpectShape("Det", "result", want, args.outputs[0].shape);
}

// Destroys the matrix.
double Determinant(double* m, int64_t order) {
  double product = 1;
  for (int64_t k = 0; k < order; ++k) {
    int64_t pivot = k;
    for (int64_t row = k + 1; row < order; ++row) {
      if (std::abs(m[row * order + k]) > std::abs(m[pivot * order + k])) pivot = row;
    }
    if (pivot != k) {
      std::swap_ranges(m + k * order, m + (k + 1) * order, m + pivot * order);
      product = -product;
    }
    const double head = m[k * order + k];
    product *= head;
    if (head == 0) return product;  // so is the whole column
    for (int64_t row = k + 1; row < order; ++row) {
      const double factor = m[row * order + k] / head;
      for (int64_t column = k + 1; column < order; ++column) {
        m[row * order + column] -= factor * m[k * order + column];
      }
    }
  }
  return product;
}

Status Run(const Params&, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  const int64_t order = in.shape[in.shape.rank() - 1];
  auto* matrix = reinterpret_cast<double*>(args.workspace.data());
  for (int64_t i = 0; i < args.outputs[0].elements(); ++i) {
    for (int64_t k = 0; k < order * order; ++k) matrix[k] = DoubleAt(in, i * order * order + k);
    StoreDouble(args.outputs[0], i, Determinant(matrix, order));
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (!IsFloat(spec.inputs[0].dtype)) return BadStep(spec, "takes floating-point types only");
  const Shape& shape = spec.inputs[0].max_shape;
  if (shape.rank() < 2) return BadStep(spec, "needs rank 2 or more");
  // The bound keeps the workspace's size in range, also in a hostile plan.
  const int64_t order = shape[shape.rank() - 1];
  if (order > 1 << 16) return BadStep(spec, "takes matrices of order 65536 at most");
  return MakeKernel(Params{order}, Check, Run, static_cast<size_t>(order * order) * sizeof(double));
}

}  // namespace

extern const KernelDef det_ref = {.id = "det_ref.1", .op = "Det", .reference = true, .bind = Bind};

}  // namespace fusee::ops
