// Parameters and checks of the operators that have kernels for several devices, so that each step
// is decoded by one piece of code, which a hostile plan has to pass. (Unary operators:
// unary_attrs.h.)
//
// Read... says kInvalidArgument when no kernel could run the step. Check... reads shapes only.
#pragma once

#include "ops/kernel.h"
#include "ops/pointwise/binary_functions.h"
#include "ops/pointwise/type_set.h"
#include "tensor/narrow.h"

namespace fusee::ops::pointwise {

struct BinaryParams {
  DType dtype = DType::kInvalid;  // of both operands
  BinaryAttrs attrs;
};
// For an operator that takes these types; the result of a comparison is bool, else of the operands'
// type.
Result<BinaryParams> ReadBinary(const StepSpec& spec, TypeSet types, bool comparison);
// The result has the shape that both operands broadcast to; PRelu's also that of operand 0.
Status CheckBinary(std::string_view op, const RunArgs& args);

struct PowParams {
  DType base = DType::kInvalid;  // also the result's
  DType exponent = DType::kInvalid;
};
Result<PowParams> ReadPow(const StepSpec& spec);
Status CheckPow(const PowParams& params, const RunArgs& args);

// Exponents for which a power is a few IEEE operations.
enum class EasyPower : uint8_t { kNone, kOne, kSquare, kCube, kRoot, kReciprocal };
// Which of them the constant scalar is; kNone also for an operand that is neither.
EasyPower FindEasyPower(const TensorSpec& exponent);
// Also: the exponent has one element.
Status CheckEasyPow(const RunArgs& args);

struct WhereParams {
  int64_t element_bytes = 0;  // 1, 2, 4 or 8
};
Result<WhereParams> ReadWhere(const StepSpec& spec);
Status CheckWhere(const WhereParams& params, const RunArgs& args);

struct ClipParams {
  DType dtype = DType::kInvalid;
};
// Operands 1 (low) and 2 (high) may be absent.
Result<ClipParams> ReadClip(const StepSpec& spec);
Status CheckClip(const ClipParams& params, const RunArgs& args);

struct CastParams {
  DType from = DType::kInvalid, to = DType::kInvalid;
  NarrowRounding rounding;  // to narrow types
};
Result<CastParams> ReadCast(const StepSpec& spec);
Status CheckCast(const CastParams& params, const RunArgs& args);

// IsNaN and IsInf.
struct ClassifyParams {
  DType dtype = DType::kInvalid;
  bool nan = false, negative = false, positive = false;  // what gives true
};
Result<ClassifyParams> ReadIsNaN(const StepSpec& spec);
Result<ClassifyParams> ReadIsInf(const StepSpec& spec);
Status CheckClassify(const ClassifyParams& params, const RunArgs& args);

}  // namespace fusee::ops::pointwise
