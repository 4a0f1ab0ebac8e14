// Turns a block of a convolution's input into panels of a matrix product (im2col), a cache-sized
// piece at a time.
#pragma once

#include <cstdint>

#include "ops/nn/conv.h"

namespace fusee::ops {

// Writes rows [k_begin, k_end) of the im2col matrix for output pixels [pixel, pixel + count):
//   row k = (channel, kd, kh, kw) flattened; pixel = (od, oh, ow) flattened; outside the input: 0.
// x: first channel of the group, of one image. out: panels of `columns` pixels, one after the
// other, each (k_end - k_begin) rows of `columns` floats; a last panel that is not full is padded
// with zeros. columns is at most kMaxTileColumns.
void PackPixels(const Window& window, const float* x, int64_t k_begin, int64_t k_end, int64_t pixel,
                int64_t count, int64_t columns, float* out);

}  // namespace fusee::ops
