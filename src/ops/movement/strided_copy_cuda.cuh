// StridedCopy on a CUDA device.
#pragma once

#include "ops/kernel.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {

// Enqueues the copy. element_bytes is 1, 2, 4 or 8; src and dst are device addresses of elements
// and must not overlap. Contiguous runs go 16 bytes a thread where they are aligned; true
// transposes go through shared memory tile by tile; the rest element by element with coalesced
// writes.
Status LaunchStridedCopy(const StridedCopy& copy, int64_t element_bytes, const void* src, void* dst,
                         void* queue);

}  // namespace fusee::ops
