// A queue of messages in shared memory, one writer process and one reader process.
//
//   | head (writer's) | tail (reader's) | bytes: [record][record]...  wraps at the end |
//   record = { u32 payload bytes, u16 type, u16 flags, u64 sequence, u64 state, u64 about } payload
//
// head and tail count bytes ever written and read; each is written by one side only. Each side
// keeps its own count privately and only publishes it, so nothing the peer does to the shared words
// can move it. A record counts as written when head has passed it, so a writer may die at any
// instruction: the reader sees a whole record or none. There is no lock to be left behind.
//
// The reader trusts nothing: it copies a record once, out of the peer's reach, and only then
// judges it (a length that fits what was published, the next sequence number). The first thing that
// is wrong ends the ring: kDataLoss, now and ever after; whoever reads replaces the peer.
//
// Waking is not the ring's business (bell.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace fusee::ipc {

// Of one message; larger ones are refused by the writer and are an error for the reader.
inline constexpr size_t kMessageBytesMax = 1 << 20;
inline constexpr size_t kRingBytesMin = 4096;

// Flags of a message.
inline constexpr uint16_t kFinal = 1;  // the last answer about its subject; streams have several

struct MessageHeader {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint64_t sequence = 0;  // set by the writer: 1, 2, 3, ...
  uint64_t state = 0;     // the state tensors it works on; 0: none
  uint64_t about = 0;     // what it answers: a batch's id, a model's number, a ping's number
};

struct Message {
  MessageHeader header;
  std::vector<std::byte> payload;
};

// Where a ring lies: its bytes in shared memory, as one side maps them.
struct RingMemory {
  // Bytes of shared memory for a ring with this capacity, a power of two of at least kRingBytesMin.
  static size_t BytesFor(size_t capacity);
  // memory: aligned to 64, exactly BytesFor(some capacity).
  explicit RingMemory(std::span<std::byte> memory);

  std::atomic<uint64_t>* head = nullptr;
  std::atomic<uint64_t>* tail = nullptr;
  std::byte* data = nullptr;
  size_t capacity = 0;
};

// Not thread-safe. Starts on zeroed memory.
class RingWriter {
 public:
  explicit RingWriter(RingMemory memory) : ring_(memory) {}
  // Appends one message. Errors: kInvalidArgument (longer than kMessageBytesMax or half the ring),
  // kResourceExhausted (the reader is behind), kDataLoss (the reader's count makes no sense).
  // Allocates nothing when ok.
  Status Write(MessageHeader header, std::span<const std::byte> payload);
  uint64_t sequence() const { return sequence_; }

 private:
  void Copy(uint64_t at, const void* from, size_t bytes);
  RingMemory ring_;
  uint64_t head_ = 0;
  uint64_t sequence_ = 0;
};

// Not thread-safe. Starts on zeroed memory.
class RingReader {
 public:
  explicit RingReader(RingMemory memory) : ring_(memory) {}
  // The next message into *out (whose memory is reused), or false when there is none yet. Errors:
  // kDataLoss, for ever.
  Result<bool> Read(Message* out);

 private:
  void Copy(uint64_t at, void* to, size_t bytes) const;
  Status Fail(std::string why);
  RingMemory ring_;
  uint64_t tail_ = 0;
  uint64_t sequence_ = 0;
  std::string broken_;  // why; empty while good
};

}  // namespace fusee::ipc
