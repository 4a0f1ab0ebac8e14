// ScatterElements and ScatterND: a copy of the data, then the updates one after the other on one
// thread, so that repeated indices have one meaning. All indices are checked before anything is
// written.
#include <cstring>
#include <type_traits>

#include "ops/movement/indexing.h"

namespace fusee::ops {
namespace {

enum class Reduction : uint8_t { kNone, kAdd, kMul, kMax, kMin };

struct Params {
  int rank = 0;
  int axis = 0;
};

template <typename T>
T Combine(Reduction reduction, T old, T update) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return T(Combine(reduction, static_cast<float>(old), static_cast<float>(update)));
  } else {
    // Signed overflow wraps through the unsigned type; narrow ones compute in int.
    using Wide = typename std::conditional_t<std::is_integral_v<T>, std::common_type<uint64_t>,
                                             std::common_type<T>>::type;
    switch (reduction) {
      case Reduction::kNone: return update;
      case Reduction::kAdd:
        return static_cast<T>(static_cast<Wide>(old) + static_cast<Wide>(update));
      case Reduction::kMul:
        return static_cast<T>(static_cast<Wide>(old) * static_cast<Wide>(update));
      case Reduction::kMax: return (old >= update || old != old) ? old : update;
      case Reduction::kMin: return (old <= update || old != old) ? old : update;
    }
    return update;
  }
}

void CopyData(const RunArgs& args) {
  if (args.outputs[0].data == args.inputs[0].data) return;
  std::memcpy(args.outputs[0].data, args.inputs[0].data,
              static_cast<size_t>(args.inputs[0].size_bytes()));
}

Status CheckElements(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  if (data.rank() != params.rank) return InvalidArgument("ScatterElements: data has another rank");
  FUSEE_TRY(IndexGrid::CheckShapes("ScatterElements", data, args.inputs[1].shape, params.axis));
  FUSEE_TRY(ExpectShape("ScatterElements", "updates", args.inputs[1].shape, args.inputs[2].shape));
  return ExpectShape("ScatterElements", "result", data, args.outputs[0].shape);
}

template <Reduction reduction, typename T>
Status RunElements(const Params& params, const RunArgs& args) {
  const ConstTensorView& indices = args.inputs[1];
  const IndexGrid grid(args.inputs[0].shape, indices.shape, params.axis);
  FUSEE_TRY(grid.Check("ScatterElements", indices));
  CopyData(args);
  auto* out = static_cast<T*>(args.outputs[0].data);
  const auto* updates = static_cast<const T*>(args.inputs[2].data);
  for (int64_t k = 0; k < indices.elements(); ++k) {
    T& to = out[grid.Offset(indices, k)];
    to = Combine(reduction, to, updates[k]);
  }
  return OkStatus();
}

Status CheckNd(const Params& params, const RunArgs& args) {
  const Shape& data = args.inputs[0].shape;
  const Shape& indices = args.inputs[1].shape;
  const int last = indices.rank() - 1;
  if (data.rank() != params.rank || last < 0 || indices[last] < 1 || indices[last] > params.rank ||
      last + params.rank - indices[last] > kMaxRank) {
    return InvalidArgument("ScatterND: indices " + indices.ToString() + " do not fit data " +
                           data.ToString());
  }
  Shape want;
  for (int i = 0; i < last; ++i) want.push_back(indices[i]);
  for (int i = static_cast<int>(indices[last]); i < params.rank; ++i) want.push_back(data[i]);
  FUSEE_TRY(ExpectShape("ScatterND", "updates", want, args.inputs[2].shape));
  return ExpectShape("ScatterND", "result", data, args.outputs[0].shape);
}

template <Reduction reduction, typename T>
Status RunNd(const Params& params, const RunArgs& args) {
  const ConstTensorView& indices = args.inputs[1];
  const Shape& data = args.inputs[0].shape;
  const int last = indices.shape.rank() - 1;
  const int64_t tuple = indices.shape[last];
  const int64_t count = indices.shape.elements(0, last);
  const IndexTuples tuples(data, 0, tuple);
  FUSEE_TRY(tuples.Check("ScatterND", indices, count));
  CopyData(args);
  const int64_t slice = data.elements(static_cast<int>(tuple), params.rank);
  auto* out = static_cast<T*>(args.outputs[0].data);
  const auto* updates = static_cast<const T*>(args.inputs[2].data);
  for (int64_t i = 0; i < count; ++i) {
    T* to = out + tuples.Offset(indices, i);
    for (int64_t k = 0; k < slice; ++k) to[k] = Combine(reduction, to[k], updates[i * slice + k]);
  }
  return OkStatus();
}

// Runs of the given type, chosen by reduction.
template <typename T>
Result<std::unique_ptr<BoundKernel>> BindTyped(const Params& params, Reduction reduction, bool nd) {
  const auto make = [&]<Reduction r>() {
    return nd ? MakeKernel(params, CheckNd, RunNd<r, T>)
              : MakeKernel(params, CheckElements, RunElements<r, T>);
  };
  switch (reduction) {
    case Reduction::kNone: break;
    case Reduction::kAdd: return make.template operator()<Reduction::kAdd>();
    case Reduction::kMul: return make.template operator()<Reduction::kMul>();
    case Reduction::kMax: return make.template operator()<Reduction::kMax>();
    case Reduction::kMin: return make.template operator()<Reduction::kMin>();
  }
  return make.template operator()<Reduction::kNone>();
}

Result<std::unique_ptr<BoundKernel>> BindReduction(const StepSpec& spec, const Params& params,
                                                   Reduction reduction, bool nd) {
  switch (spec.inputs[0].dtype) {
    case DType::kF32: return BindTyped<float>(params, reduction, nd);
    case DType::kF64: return BindTyped<double>(params, reduction, nd);
    case DType::kF16: return BindTyped<Half>(params, reduction, nd);
    case DType::kBF16: return BindTyped<BFloat16>(params, reduction, nd);
    case DType::kI8: return BindTyped<int8_t>(params, reduction, nd);
    case DType::kI16: return BindTyped<int16_t>(params, reduction, nd);
    case DType::kI32: return BindTyped<int32_t>(params, reduction, nd);
    case DType::kI64: return BindTyped<int64_t>(params, reduction, nd);
    case DType::kU8: return BindTyped<uint8_t>(params, reduction, nd);
    case DType::kU16: return BindTyped<uint16_t>(params, reduction, nd);
    case DType::kU32: return BindTyped<uint32_t>(params, reduction, nd);
    case DType::kU64: return BindTyped<uint64_t>(params, reduction, nd);
    case DType::kBool:
      if (reduction == Reduction::kNone) return BindTyped<uint8_t>(params, reduction, nd);
      break;
    case DType::kInvalid: break;
  }
  return BadStep(spec, "has no such reduction of bool");
}

template <bool nd>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_inputs = 3, .max_inputs = 3}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "data and result"));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.inputs[2], "data and updates"));
  if (!IsIndexType(spec.inputs[1].dtype)) return BadStep(spec, "indices should be i32 or i64");
  Params params;
  params.rank = spec.inputs[0].max_shape.rank();
  if (!nd) {
    FUSEE_TRY(const int64_t axis, spec.attrs->Int("axis", 0));
    FUSEE_TRY(params.axis, StepAxis(spec, axis, params.rank));
  }
  FUSEE_TRY(const std::string name, spec.attrs->Str("reduction", "none"));
  Reduction reduction = Reduction::kNone;
  if (name == "add")
    reduction = Reduction::kAdd;
  else if (name == "mul")
    reduction = Reduction::kMul;
  else if (name == "max")
    reduction = Reduction::kMax;
  else if (name == "min")
    reduction = Reduction::kMin;
  else if (name != "none")
    return BadStep(spec, "has no reduction '" + name + "'");
  return BindReduction(spec, params, reduction, nd);
}

}  // namespace

extern const KernelDef scatter_elements_ref = {.id = "scatter_elements_ref.1",
                                               .op = "ScatterElements",
                                               .reference = true,
                                               .in_place_inputs = 1,
                                               .bind = Bind<false>};
extern const KernelDef scatter_nd_ref = {.id = "scatter_nd_ref.1",
                                         .op = "ScatterND",
                                         .reference = true,
                                         .in_place_inputs = 1,
                                         .bind = Bind<true>};

}  // namespace fusee::ops
