// DeviceQueue::CopyPieces as a kernel: the gather and scatter of a batch inside its graph.
#pragma once

#include "base/status.h"
#include "device/device.h"

namespace fusee::cuda {

// queue is a cudaStream_t; entries and count are device addresses.
Status EnqueueCopyPieces(const DeviceQueue::Piece* entries, const uint32_t* count, void* queue);
// A kernel that traps: the sticky fault of an illegal instruction, on purpose.
Status EnqueueTrap(void* queue);

}  // namespace fusee::cuda
