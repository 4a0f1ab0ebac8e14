// Unique: positions of slices are sorted by what the slices hold (equal ones by position; NaN is
// greater than everything and equal to itself), runs of equal ones are the different slices.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

struct Params {
  int axis = -1;  // -1: elements
  bool sorted = true;
};

// A tensor as [outer, length, inner]; slice a is [outer, a, inner].
struct Slices {
  int64_t outer = 1, length = 0, inner = 1;
};

Slices SlicesOf(const Params& params, const Shape& shape) {
  if (params.axis < 0) return {1, shape.elements(), 1};
  return {shape.elements(0, params.axis), shape[params.axis],
          shape.elements(params.axis + 1, shape.rank())};
}

Status Check(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const int64_t room = args.counts[0];
  Shape out = {room};
  if (params.axis >= 0) {
    out = in;
    out[params.axis] = room;
  }
  FUSEE_TRY(ExpectShape("Unique", "result", out, args.outputs[0].shape));
  FUSEE_TRY(ExpectShape("Unique", "positions", {room}, args.outputs[1].shape));
  FUSEE_TRY(ExpectShape("Unique", "inverse", {SlicesOf(params, in).length}, args.outputs[2].shape));
  return ExpectShape("Unique", "counts", {room}, args.outputs[3].shape);
}

// -1, 0 or 1.
template <typename T>
int CompareValues(T a, T b) {
  if constexpr (!std::is_arithmetic_v<T>) {
    return CompareValues(static_cast<float>(a), static_cast<float>(b));
  } else {
    if (a < b) return -1;
    if (a > b) return 1;
    return static_cast<int>(a != a) - static_cast<int>(b != b);
  }
}

template <typename T>
int CompareSlices(const T* data, const Slices& s, int64_t a, int64_t b) {
  for (int64_t o = 0; o < s.outer; ++o) {
    const T* row = data + o * s.length * s.inner;
    for (int64_t i = 0; i < s.inner; ++i) {
      if (const int c = CompareValues(row[a * s.inner + i], row[b * s.inner + i]); c != 0) return c;
    }
  }
  return 0;
}

template <typename T>
Status RunTyped(const Params& params, const RunArgs& args) {
  const Slices s = SlicesOf(params, args.inputs[0].shape);
  const T* data = args.inputs[0].as<T>();
  auto* order = reinterpret_cast<int64_t*>(args.workspace.data());
  int64_t* rank_of = order + s.length;  // of a slice's first appearance: its place in the result
  for (int64_t i = 0; i < s.length; ++i) order[i] = i;
  std::sort(order, order + s.length, [&](int64_t a, int64_t b) {
    const int c = CompareSlices(data, s, a, b);
    return c != 0 ? c < 0 : a < b;
  });
  // The inverse holds first positions for now.
  int64_t* inverse = args.outputs[2].as<int64_t>();
  int64_t found = 0;
  for (int64_t i = 0; i < s.length; ++i) {
    const bool first = i == 0 || CompareSlices(data, s, order[i - 1], order[i]) != 0;
    inverse[order[i]] = first ? order[i] : inverse[order[i - 1]];
    if (first) rank_of[order[i]] = found++;
  }
  const int64_t room = args.counts[0];
  if (found > room) return MoreThanBound(found, room);
  args.counts[0] = found;
  if (!params.sorted) {
    for (int64_t i = 0, next = 0; i < s.length; ++i) {
      if (inverse[i] == i) rank_of[i] = next++;
    }
  }
  int64_t* positions = args.outputs[1].as<int64_t>();
  int64_t* counts = args.outputs[3].as<int64_t>();
  T* out = args.outputs[0].as<T>();
  const auto bytes = static_cast<size_t>(s.inner) * sizeof(T);
  std::fill_n(counts, found, int64_t{0});
  for (int64_t i = 0; i < s.length; ++i) {
    const int64_t first = inverse[i], place = rank_of[first];
    inverse[i] = place;
    ++counts[place];
    if (first != i) continue;
    positions[place] = i;
    for (int64_t o = 0; o < s.outer && bytes > 0; ++o) {
      std::memcpy(out + (o * found + place) * s.inner, data + (o * s.length + i) * s.inner, bytes);
    }
  }
  return OkStatus();
}

Status Run(const Params& params, const RunArgs& args) {
  return VisitType(args.inputs[0].dtype,
                   [&]<typename T>() -> Status { return RunTyped<T>(params, args); });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.min_outputs = 4, .max_outputs = 4}));
  if (spec.count_count != 1) return BadStep(spec, "should find one size");
  FUSEE_TRY(CheckSameDType(spec, spec.outputs[0], spec.inputs[0], "result"));
  for (size_t i : {1, 2, 3}) {
    if (spec.outputs[i].dtype != DType::kI64)
      return BadStep(spec, "positions, inverse and counts should be i64");
  }
  Params params;
  FUSEE_TRY(const int64_t sorted, spec.attrs->Int("sorted", 1));
  params.sorted = sorted != 0;
  if (spec.attrs->Has("axis")) {
    FUSEE_TRY(params.axis, ReadAxis(spec, 0, spec.inputs[0].max_shape.rank()));
  }
  const auto length = static_cast<size_t>(SlicesOf(params, spec.inputs[0].max_shape).length);
  return MakeKernel(params, Check, Run, 2 * length * sizeof(int64_t));
}

}  // namespace

extern const KernelDef unique_ref = {
    .id = "unique_ref.1", .op = "Unique", .reference = true, .bind = Bind};

}  // namespace fusee::ops
