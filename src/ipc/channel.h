// The line between the front and one worker process: two rings in one shared memory, and a bell for
// each direction. The front makes it anew for every process it starts.
//
//   memory:  [ requests: front writes, worker reads ][ replies: worker writes, front reads ]
//
// What a worker inherits, at fixed descriptors, is listed in WorkerFd.
#pragma once

#include "ipc/bell.h"
#include "ipc/ring.h"
#include "ipc/shared_memory.h"

namespace fusee::ipc {

inline constexpr size_t kRequestRingBytes = size_t{4} << 20;  // a full batch, twice
inline constexpr size_t kReplyRingBytes = size_t{4} << 20;

// A worker's inherited descriptors.
enum WorkerFd : int {
  kFdChannel = 3,   // memory of the channel
  kFdInputs = 4,    // the slab of input tensors
  kFdOutputs = 5,   // the slab of output tensors
  kFdRequests = 6,  // bell: the front has written
  kFdReplies = 7,   // bell: the worker has written
  kFdLife = 8,      // the reading end of a pipe; at its end the front is gone
  kFdCount = 6,
};

// Both ends' view; each side uses its own pair of reader and writer only.
class Channel {
 public:
  // A new one, on zeroed memory. Errors: kResourceExhausted, kUnavailable.
  static Result<Channel> Create();
  // Over inherited descriptors, taken over. Errors: kInvalidArgument (another size), kUnavailable.
  static Result<Channel> Open(Descriptor memory, Descriptor requests, Descriptor replies);

  RingMemory requests() const;
  RingMemory replies() const;
  const Bell& request_bell() const { return request_bell_; }
  const Bell& reply_bell() const { return reply_bell_; }
  int memory_fd() const { return memory_.fd(); }

 private:
  Channel(SharedMemory memory, Bell requests, Bell replies)
      : memory_(std::move(memory)),
        request_bell_(std::move(requests)),
        reply_bell_(std::move(replies)) {}
  SharedMemory memory_;
  Bell request_bell_, reply_bell_;
};

}  // namespace fusee::ipc
