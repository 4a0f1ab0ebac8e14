// Resize as networks use it, from tables made once a run: nearest for every type and axis, and
// linear for f32 on the last two axes (other axes unmoved). Tables: one entry per position of each
// moved axis, in the workspace. Linear mixes two rows, then two columns, in single precision;
// weights are the reference's, rounded to float.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/movement/resize.h"

namespace fusee::ops {
namespace {

// One position on one axis: value = (1 - weight) * in[low] + weight * in[high].
struct Entry {
  int32_t low = 0;
  int32_t high = 0;
  float weight = 0;
};

struct Params {
  ResizeParams resize;
  size_t table_entries = 0;
};

Status Check(const Params& params, const RunArgs& args) {
  FUSEE_TRY(CheckResize(params.resize, args));
  size_t entries = 0;
  for (int64_t d : args.outputs[0].shape.dims()) entries += static_cast<size_t>(d);
  for (int64_t d : args.inputs[0].shape.dims()) {
    if (d > INT32_MAX) return InvalidArgument("Resize: a dimension is above 2^31 - 1");
  }
  if (entries > params.table_entries) {
    return InvalidArgument("Resize: the result is larger than the step was bound for");
  }
  if (params.resize.mode == ResizeMode::kNearest) return OkStatus();
  for (int i = 0; i < params.resize.rank - 2; ++i) {
    if (!ResizeAxis(params.resize, args, i).identity) {
      return InvalidArgument("Resize: an axis before the last two changes its size");
    }
  }
  return OkStatus();
}

using Tables = std::array<Entry*, kMaxRank>;

Tables MakeTables(const ResizeParams& params, const RunArgs& args) {
  Tables tables{};
  auto* next = reinterpret_cast<Entry*>(args.workspace.data());
  for (int i = 0; i < params.rank; ++i) {
    const ResizeAxis axis(params, args, i);
    tables[static_cast<size_t>(i)] = next;
    for (int64_t at = 0; at < axis.out; ++at) {
      Entry& entry = *next++;
      const float source = axis.identity ? static_cast<float>(at) : axis.Source(at);
      if (params.mode == ResizeMode::kNearest) {
        entry.low = static_cast<int32_t>(axis.identity ? at : axis.Nearest(params.nearest, source));
        continue;
      }
      const float low = std::ceil(source) - 1;
      const auto last = static_cast<float>(axis.in - 1);
      entry.low = static_cast<int32_t>(std::clamp(low, 0.0F, last));
      entry.high = static_cast<int32_t>(std::clamp(low + 1, 0.0F, last));
      entry.weight = source - low;
    }
  }
  return tables;
}

template <typename T>
Status RunNearest(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  if (out.elements() == 0) return OkStatus();
  const Tables tables = MakeTables(params.resize, args);
  const Shape strides = RowMajorStrides(in);
  const int last = out.rank() - 1;
  const int64_t row = out[last];
  const auto* src = static_cast<const T*>(args.inputs[0].data);
  auto* dst = static_cast<T*>(args.outputs[0].data);
  const Entry* columns = tables[static_cast<size_t>(last)];
  ParallelBlocks(args.parallel, out.elements(0, last), kElementsPerTask / row,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = begin; r < end; ++r) {
                     int64_t from = 0, rest = r;
                     for (int i = last - 1; i >= 0; --i) {
                       from += tables[static_cast<size_t>(i)][rest % out[i]].low * strides[i];
                       rest /= out[i];
                     }
                     for (int64_t x = 0; x < row; ++x)
                       dst[r * row + x] = src[from + columns[x].low];
                   }
                 });
  return OkStatus();
}

Status RunLinear(const Params& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  const Shape& out = args.outputs[0].shape;
  if (out.elements() == 0) return OkStatus();
  const Tables tables = MakeTables(params.resize, args);
  const int last = out.rank() - 1;
  const int64_t in_row = in[last], in_plane = in[last - 1] * in_row;
  const int64_t row = out[last], rows = out[last - 1];
  const Entry* lines = tables[static_cast<size_t>(last - 1)];
  const Entry* columns = tables[static_cast<size_t>(last)];
  const float* src = args.inputs[0].as<float>();
  float* dst = args.outputs[0].as<float>();
  ParallelBlocks(
      args.parallel, out.elements(0, last), kElementsPerTask / row,
      [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const Entry line = lines[r % rows];
          const float* plane = src + r / rows * in_plane;
          const float* top = plane + line.low * in_row;
          const float* bottom = plane + line.high * in_row;
          float* to = dst + r * row;
          for (int64_t x = 0; x < row; ++x) {
            const Entry c = columns[x];
            const float left = (1 - line.weight) * top[c.low] + line.weight * bottom[c.low];
            const float right = (1 - line.weight) * top[c.high] + line.weight * bottom[c.high];
            to[x] = (1 - c.weight) * left + c.weight * right;
          }
        }
      });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  Params params;
  FUSEE_TRY(params.resize, ReadResize(spec));
  const ResizeParams& resize = params.resize;
  if (resize.coordinates == ResizeCoordinates::kTfCropAndResize)
    return RefuseTactic(spec, "does not crop");
  if (resize.rank == 0) return RefuseTactic(spec, "takes rank 1 and above");
  for (int64_t d : spec.outputs[0].max_shape.dims()) params.table_entries += static_cast<size_t>(d);
  const size_t workspace = params.table_entries * sizeof(Entry);
  if (resize.mode == ResizeMode::kNearest) {
    switch (BytesPerElement(spec.inputs[0].dtype)) {
      case 1: return MakeKernel(params, Check, RunNearest<uint8_t>, workspace);
      case 2: return MakeKernel(params, Check, RunNearest<uint16_t>, workspace);
      case 4: return MakeKernel(params, Check, RunNearest<uint32_t>, workspace);
      default: return MakeKernel(params, Check, RunNearest<uint64_t>, workspace);
    }
  }
  if (resize.mode != ResizeMode::kLinear || resize.antialias || resize.exclude_outside) {
    return RefuseTactic(spec, "takes nearest and plain linear only");
  }
  if (spec.inputs[0].dtype != DType::kF32 || resize.rank < 2) {
    return RefuseTactic(spec, "interpolates f32 of rank 2 and above only");
  }
  for (int i = 0; i < resize.rank - 2; ++i) {
    const int64_t a = spec.inputs[0].max_shape[i], b = spec.outputs[0].max_shape[i];
    const bool moves = resize.has_scales && resize.scales[static_cast<size_t>(i)] != 1;
    if (a != b || moves || resize.coordinates == ResizeCoordinates::kTfHalfPixelForNearest) {
      return RefuseTactic(spec, "an axis before the last two changes its size");
    }
  }
  return MakeKernel(params, Check, RunLinear, workspace);
}

}  // namespace

extern const KernelDef resize_cpu = {.id = "resize_cpu.1", .op = "Resize", .bind = Bind};

}  // namespace fusee::ops
