// What most kernels of the movement, reduce and quant families share: a bound kernel made of a
// parameter struct and two plain functions, and the checks of a step's signature.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "base/status.h"
#include "ops/kernel.h"

namespace fusee::ops {

// check and body are BoundKernel's CheckShapes and Run with the decoded parameters in front.
template <typename Params>
class FunctionKernel final : public BoundKernel {
 public:
  using Function = Status (*)(const Params& params, const RunArgs& args);
  FunctionKernel(Params params, Function check, Function body, size_t workspace_bytes)
      : params_(std::move(params)), check_(check), body_(body), workspace_bytes_(workspace_bytes) {}

  size_t workspace_bytes() const override { return workspace_bytes_; }
  Status CheckShapes(const RunArgs& args) const override { return check_(params_, args); }
  Status Run(const RunArgs& args) const override { return body_(params_, args); }

 private:
  const Params params_;
  const Function check_;
  const Function body_;
  const size_t workspace_bytes_;
};

template <typename Params>
Result<std::unique_ptr<BoundKernel>> MakeKernel(Params params,
                                                typename FunctionKernel<Params>::Function check,
                                                typename FunctionKernel<Params>::Function body,
                                                size_t workspace_bytes = 0) {
  return std::unique_ptr<BoundKernel>(
      std::make_unique<FunctionKernel<Params>>(std::move(params), check, body, workspace_bytes));
}

// Calls fn.operator()<T>() with the C++ type of the dtype: any but bool. Precondition: neither bool
// nor kInvalid, nor narrow (those have no C++ type; BindFunction keeps them away).
template <typename Fn>
decltype(auto) VisitNumber(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF64: return fn.template operator()<double>();
    case DType::kF16: return fn.template operator()<Half>();
    case DType::kBF16: return fn.template operator()<BFloat16>();
    case DType::kI8: return fn.template operator()<int8_t>();
    case DType::kI16: return fn.template operator()<int16_t>();
    case DType::kI32: return fn.template operator()<int32_t>();
    case DType::kI64: return fn.template operator()<int64_t>();
    case DType::kU8: return fn.template operator()<uint8_t>();
    case DType::kU16: return fn.template operator()<uint16_t>();
    case DType::kU32: return fn.template operator()<uint32_t>();
    case DType::kU64: return fn.template operator()<uint64_t>();
    default: break;
  }
  return fn.template operator()<float>();
}
// The same with bool. Precondition: neither kInvalid nor narrow.
template <typename Fn>
decltype(auto) VisitType(DType dtype, Fn&& fn) {
  if (dtype == DType::kBool) return fn.template operator()<bool>();
  return VisitNumber(dtype, std::forward<Fn>(fn));
}
inline bool IsNumber(DType dtype) { return IsFloat(dtype) || IsInt(dtype); }

// How many operands, results and run-time dims a step must have. Operands below min_inputs and
// every result below min_outputs must be present.
struct Signature {
  size_t min_inputs = 1;
  size_t max_inputs = 1;
  size_t min_outputs = 1;
  size_t max_outputs = 1;
  size_t dims = 0;
};

// Errors: kInvalidArgument naming the count that is wrong.
Status CheckSignature(const StepSpec& spec, const Signature& signature);

// Result 0 and operand 0 have one dtype, or kInvalidArgument.
Status CheckSameDType(const StepSpec& spec, const TensorSpec& a, const TensorSpec& b,
                      std::string_view what);

// Normalises a possibly negative axis into [0, limit). Errors: kInvalidArgument.
Result<int> StepAxis(const StepSpec& spec, int64_t axis, int limit);

// The step's attribute "axis", normalised. Errors: kInvalidArgument.
Result<int> ReadAxis(const StepSpec& spec, int64_t fallback, int limit);

// An attribute of integers that must have this many entries, none missing.
Result<std::vector<int64_t>> StepInts(const StepSpec& spec, std::string_view name, size_t count);

// ok when got == want, else ShapeMismatch; result 0's shape check in one line.
Status ExpectShape(std::string_view op, std::string_view what, const Shape& want, const Shape& got);

// Runs body(begin, end) over [0, count) in fixed blocks of `grain`, on one thread when there is
// only one block. Blocks depend on count and grain alone, never on the number of threads.
template <typename Body>
void ParallelBlocks(Parallel* parallel, int64_t count, int64_t grain, Body&& body) {
  if (grain < 1) grain = 1;
  const int64_t blocks = (count + grain - 1) / grain;
  if (blocks <= 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
  parallel->Run(blocks, [&](int64_t b) {
    const int64_t begin = b * grain;
    body(begin, begin + grain < count ? begin + grain : count);
  });
}

// About this many elements are worth a task of their own: some microseconds of work, far above the
// cost of handing a task over.
inline constexpr int64_t kElementsPerTask = 16384;

}  // namespace fusee::ops
