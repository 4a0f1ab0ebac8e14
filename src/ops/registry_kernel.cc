#include <fmt/format.h>

#include "ops/kernel.h"

namespace fusee::ops {

#define FUSEE_CUDA_TACTIC(name)
#define FUSEE_TACTIC(name) extern const KernelDef name;
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/recurrent/tactics.inc"
#include "ops/reduce/tactics.inc"
#include "ops/selection/tactics.inc"
#include "ops/vision/tactics.inc"
#undef FUSEE_TACTIC

KernelLibrary::KernelLibrary(std::vector<const KernelDef*> kernels) : all_(std::move(kernels)) {
  for (const KernelDef* def : all_) {
    FUSEE_CHECK(by_id_.emplace(def->id, def).second, "two kernels of one id");
    by_op_[def->op].push_back(def);
  }
}

std::span<const KernelDef* const> KernelLibrary::For(std::string_view op) const {
  const auto it = by_op_.find(op);
  if (it == by_op_.end()) return {};
  return it->second;
}

const KernelDef* KernelLibrary::Find(std::string_view id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

const KernelLibrary& CpuKernels() {
  static const KernelLibrary* const library = new KernelLibrary({
#define FUSEE_TACTIC(name) &name,
#include "ops/movement/tactics.inc"
#include "ops/nn/tactics.inc"
#include "ops/norm/tactics.inc"
#include "ops/pointwise/tactics.inc"
#include "ops/quant/tactics.inc"
#include "ops/recurrent/tactics.inc"
#include "ops/reduce/tactics.inc"
#include "ops/selection/tactics.inc"
#include "ops/vision/tactics.inc"
#undef FUSEE_TACTIC
  });
  return *library;
}

Result<std::unique_ptr<BoundKernel>> BindFunction::operator()(const StepSpec& spec) const {
  if (narrow_ == Narrow::kRefused) {
    for (const auto* list : {&spec.inputs, &spec.outputs}) {
      for (const TensorSpec& tensor : *list) {
        if (IsNarrow(tensor.dtype))
          return RefuseTactic(spec, fmt::format("takes no {}", DTypeName(tensor.dtype)));
      }
    }
  }
  return function_(spec);
}

Status ToStatus(RunError error, std::string_view op) {
  switch (error) {
    case RunError::kNone: return OkStatus();
    case RunError::kIndexOutOfRange:
      return InvalidArgument(fmt::format("{}: an index is out of range", op));
    case RunError::kDivisionByZero:
      return InvalidArgument(fmt::format("{}: an integer is divided by zero", op));
  }
  return Internal(
      fmt::format("{}: the kernel reported error {}", op, static_cast<uint32_t>(error)));
}

Status MoreThanBound(int64_t found, int64_t room) {
  return OutOfRange(fmt::format(
      "{} are more than {}, which the operands' sizes or --bound allow; if it was --bound, rebuild "
      "with a larger one",
      found, room));
}

Status RefuseTactic(const StepSpec& spec, std::string_view reason) {
  return Unimplemented(fmt::format("{}: {}", spec.op, reason));
}

Status BadStep(const StepSpec& spec, std::string_view reason) {
  return InvalidArgument(fmt::format("{}: {}", spec.op, reason));
}

Status ShapeMismatch(std::string_view op, std::string_view what, const Shape& want,
                     const Shape& got) {
  return InvalidArgument(
      fmt::format("{}: {} has shape {}, expected {}", op, what, got.ToString(), want.ToString()));
}

}  // namespace fusee::ops
