// ScatterElements and ScatterND: a copy of the data, then the updates one after the other on one
// thread, so that repeated indices have one meaning. All indices are checked before anything is
// written.
#include <cstring>
#include <type_traits>

#include "ops/movement/index_steps.h"

namespace fusee::ops {
namespace {

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

template <Reduction reduction, typename T>
Status RunElements(const ScatterParams& params, const RunArgs& args) {
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

template <Reduction reduction, typename T>
Status RunNd(const ScatterParams& params, const RunArgs& args) {
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
Result<std::unique_ptr<BoundKernel>> BindTyped(const ScatterParams& params, bool nd) {
  const auto make = [&]<Reduction r>() {
    return nd ? MakeKernel(params, CheckScatterNd, RunNd<r, T>)
              : MakeKernel(params, CheckScatterElements, RunElements<r, T>);
  };
  switch (params.reduction) {
    case Reduction::kNone: break;
    case Reduction::kAdd: return make.template operator()<Reduction::kAdd>();
    case Reduction::kMul: return make.template operator()<Reduction::kMul>();
    case Reduction::kMax: return make.template operator()<Reduction::kMax>();
    case Reduction::kMin: return make.template operator()<Reduction::kMin>();
  }
  return make.template operator()<Reduction::kNone>();
}

template <bool nd>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ScatterParams params, nd ? ReadScatterNd(spec) : ReadScatterElements(spec));
  if (params.dtype == DType::kInvalid) return BadStep(spec, "has no type");
  if (params.dtype == DType::kBool) return BindTyped<uint8_t>(params, nd);
  return VisitNumber(params.dtype, [&]<typename T>() { return BindTyped<T>(params, nd); });
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
