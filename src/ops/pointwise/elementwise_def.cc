#include "ops/pointwise/elementwise_def.h"

#include <fmt/format.h>

#include <limits>

#include "ops/movement/tracked.h"

namespace fusee::ops::pointwise {
namespace {

// Position of a broadcast operand's element for a multi-index of the result.
size_t BroadcastIndex(const ir::SymShape& shape, std::span<const int64_t> index) {
  const size_t offset = index.size() - shape.size();
  size_t flat = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t extent = shape[i].constant();
    flat = flat * static_cast<size_t>(extent) +
           (extent == 1 ? 0 : static_cast<size_t>(index[offset + i]));
  }
  return flat;
}

ir::DimRange TypeRange(DType dtype) {
  switch (dtype) {
    case DType::kBool: return {0, 1};
    case DType::kI8: return {-128, 127};
    case DType::kU8: return {0, 255};
    case DType::kI16: return {-32768, 32767};
    case DType::kU16: return {0, 65535};
    case DType::kI32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case DType::kU32: return {0, std::numeric_limits<uint32_t>::max()};
    case DType::kU64: return {0, std::numeric_limits<int64_t>::max()};
    default: return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

}  // namespace

Status ExpectOperands(const InferContext& context, size_t min, size_t max) {
  if (context.input_count() < min || context.input_count() > max) {
    const std::string want =
        min == max ? fmt::format("{}", min) : fmt::format("{} to {}", min, max);
    return context.Error(fmt::format("expected {} operands, got {}", want, context.input_count()));
  }
  for (size_t i = 0; i < min; ++i) {
    if (!context.has_input(i)) return context.Error(fmt::format("operand {} is missing", i));
  }
  return OkStatus();
}

Status ExpectType(const InferContext& context, size_t i, TypeSet types) {
  if (Contains(types, context.dtype(i))) return OkStatus();
  return context.Refuse(fmt::format("operand {} has type {}, expected one of {}", i,
                                    DTypeName(context.dtype(i)), Names(types)));
}

Status ExpectSameType(const InferContext& context, size_t i, size_t j) {
  if (context.dtype(i) == context.dtype(j)) return OkStatus();
  return context.Error(fmt::format("operands {} and {} should have one type, got {} and {}", i, j,
                                   DTypeName(context.dtype(i)), DTypeName(context.dtype(j))));
}

TrackedDim IfFits(const InferContext& context, const ir::Dim& dim, DType dtype) {
  if (!dim.is_constant() && (dtype == DType::kI32 || dtype == DType::kI64)) return dim;
  const ir::DimRange limits = TypeRange(dtype);
  const ir::DimRange range = dim.Range(context.symbols());
  return range.min >= limits.min && range.max <= limits.max ? TrackedDim(dim) : std::nullopt;
}

void TrackElements(InferContext& context, size_t operands,
                   const std::function<TrackedDim(std::span<const ir::Dim>)>& track) {
  ir::ValueInfo& result = context.outputs()[0];
  if (!IsTrackable(result.dtype, result.shape)) return;
  std::vector<std::vector<ir::Dim>> known;
  for (size_t i = 0; i < operands; ++i) {
    auto elements = KnownElements(context, i);
    if (!elements || !ir::IsStatic(context.shape(i))) return;
    known.push_back(std::move(*elements));
  }
  std::vector<ir::Dim> at(operands);
  result.elements = MapElements(result.shape, [&](std::span<const int64_t> index) -> TrackedDim {
    for (size_t i = 0; i < operands; ++i) at[i] = known[i][BroadcastIndex(context.shape(i), index)];
    const TrackedDim dim = track(at);
    return dim ? IfFits(context, *dim, result.dtype) : std::nullopt;
  });
}

Status InferUnaryOf(InferContext& context, TypeSet types, DType result, TrackUnary track) {
  FUSEE_TRY(ExpectOperands(context, 1, 1));
  FUSEE_TRY(ExpectType(context, 0, types));
  context.SetOutput(0, result == DType::kInvalid ? context.dtype(0) : result, context.shape(0));
  if (track != nullptr) {
    TrackElements(context, 1, [&](std::span<const ir::Dim> x) { return track(context, x[0]); });
  }
  return OkStatus();
}

Status InferBinaryOf(InferContext& context, TypeSet types, DType result, TrackBinary track) {
  FUSEE_TRY(ExpectOperands(context, 2, 2));
  FUSEE_TRY(ExpectType(context, 0, types));
  FUSEE_TRY(ExpectSameType(context, 0, 1));
  FUSEE_TRY(ir::SymShape shape, context.Broadcast(context.shape(0), context.shape(1)));
  context.SetOutput(0, result == DType::kInvalid ? context.dtype(0) : result, std::move(shape));
  if (track != nullptr) {
    TrackElements(context, 2,
                  [&](std::span<const ir::Dim> x) { return track(context, x[0], x[1]); });
  }
  return OkStatus();
}

TrackedDim TrackLess(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  const ir::DimRange ra = a.Range(context.symbols());
  const ir::DimRange rb = b.Range(context.symbols());
  if (a == b || ra.min >= rb.max) return ir::Dim(0);
  if (ra.max < rb.min) return ir::Dim(1);
  return std::nullopt;
}

TrackedDim TrackNot(TrackedDim truth) {
  return truth ? TrackedDim(ir::Dim(1) - *truth) : std::nullopt;
}

Status ImportAsIs(ImportContext& context) { return context.EmitAs(context.node().op_type); }

Status ImportWithFloats(ImportContext& context,
                        std::initializer_list<std::pair<const char*, float>> defaults) {
  Attrs attrs;
  for (const auto& [name, fallback] : defaults) {
    FUSEE_TRY(const double value, context.Float(name, static_cast<double>(fallback)));
    attrs.Set(name, value);
  }
  return context.EmitAs(context.node().op_type, std::move(attrs));
}

Result<ir::ValueId> WideFloat(ImportContext& context, size_t i) {
  if (!IsFloat8(context.info(i).dtype)) return context.input(i);
  return context.Emit("Cast", {context.input(i)},
                      {{"to", int64_t{static_cast<uint8_t>(DType::kF32)}}});
}

Result<ir::ValueId> EmitChain(ImportContext& context, std::string_view op) {
  for (size_t i = 0; i < std::max<size_t>(context.input_count(), 1); ++i) {
    if (!context.has_input(i)) return context.Error(fmt::format("operand {} is missing", i));
  }
  if (context.input_count() == 1) return context.Emit("Identity", {context.input(0)});
  ir::ValueId sum = context.input(0);
  for (size_t i = 1; i < context.input_count(); ++i) {
    FUSEE_TRY(sum, context.Emit(op, {sum, context.input(i)}));
  }
  return sum;
}

OpDef Simple(std::string_view name, Status (*infer)(InferContext&),
             Status (*import)(ImportContext&)) {
  return {.name = name, .infer = infer, .imports = {{.onnx_op = name, .import = import}}};
}

}  // namespace fusee::ops::pointwise
