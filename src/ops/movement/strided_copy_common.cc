#include "ops/movement/strided_copy.h"

#include "base/check.h"

namespace fusee::ops {

void StridedCopy::AddAxis(int64_t axis_size, int64_t axis_src_stride, int64_t axis_dst_stride) {
  FUSEE_DCHECK(axes < kMaxAxes, "too many axes in a copy");
  const auto i = static_cast<size_t>(axes++);
  size[i] = axis_size;
  src_stride[i] = axis_src_stride;
  dst_stride[i] = axis_dst_stride;
}

StridedCopy StridedCopy::Normalised() const {
  const StridedCopy& copy = *this;
  StridedCopy out;
  out.src_offset = copy.src_offset;
  out.dst_offset = copy.dst_offset;
  for (size_t i = 0; i < static_cast<size_t>(copy.axes); ++i) {
    if (copy.size[i] == 1) continue;
    if (out.axes > 0) {
      const auto last = static_cast<size_t>(out.axes - 1);
      if (out.src_stride[last] == copy.src_stride[i] * copy.size[i] &&
          out.dst_stride[last] == copy.dst_stride[i] * copy.size[i]) {
        out.size[last] *= copy.size[i];
        out.src_stride[last] = copy.src_stride[i];
        out.dst_stride[last] = copy.dst_stride[i];
        continue;
      }
    }
    out.AddAxis(copy.size[i], copy.src_stride[i], copy.dst_stride[i]);
  }
  if (out.axes == 0) out.AddAxis(1, 1, 1);
  return out;
}

}  // namespace fusee::ops
