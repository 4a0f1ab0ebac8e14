#include "ipc/ring.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "base/checked_math.h"

namespace fusee::ipc {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kDataOffset = 2 * kLine;
constexpr size_t kRecordAlignment = 8;

// As it lies in the ring.
struct Record {
  uint32_t payload_bytes;
  uint16_t type, flags;
  uint64_t sequence, state, about;
};
static_assert(sizeof(Record) == 32);
static_assert(std::atomic<uint64_t>::is_always_lock_free,
              "a lock behind an atomic would be one that a dead process may hold");

uint64_t RecordBytes(uint64_t payload) {
  return AlignUp(sizeof(Record) + payload, kRecordAlignment);
}

}  // namespace

size_t RingMemory::BytesFor(size_t capacity) { return kDataOffset + capacity; }

RingMemory::RingMemory(std::span<std::byte> memory)
    : head(reinterpret_cast<std::atomic<uint64_t>*>(memory.data())),
      tail(reinterpret_cast<std::atomic<uint64_t>*>(memory.data() + kLine)),
      data(memory.data() + kDataOffset),
      capacity(memory.size() - kDataOffset) {
  FUSEE_CHECK(memory.size() > kDataOffset && std::has_single_bit(capacity) &&
                  capacity >= kRingBytesMin &&
                  reinterpret_cast<uintptr_t>(memory.data()) % kLine == 0,
              "a ring's memory has the wrong size or alignment");
}

void RingWriter::Copy(uint64_t at, const void* from, size_t bytes) {
  const size_t offset = at & (ring_.capacity - 1);
  const size_t first = std::min(bytes, ring_.capacity - offset);
  if (first > 0) std::memcpy(ring_.data + offset, from, first);
  if (bytes > first)
    std::memcpy(ring_.data, static_cast<const std::byte*>(from) + first, bytes - first);
}

Status RingWriter::Write(MessageHeader header, std::span<const std::byte> payload) {
  const uint64_t bytes = RecordBytes(payload.size());
  if (payload.size() > kMessageBytesMax || bytes > ring_.capacity / 2) {
    return InvalidArgument(fmt::format("a message of {} bytes; at most {} go through this ring",
                                       payload.size(),
                                       std::min(kMessageBytesMax, ring_.capacity / 2)));
  }
  const uint64_t used = head_ - ring_.tail->load(std::memory_order_acquire);
  if (used > ring_.capacity) return DataLoss("the reader's count in the ring makes no sense");
  if (bytes > ring_.capacity - used) {
    return ResourceExhausted(fmt::format("the ring is full: {} bytes wait for their reader", used));
  }
  const Record record{.payload_bytes = static_cast<uint32_t>(payload.size()),
                      .type = header.type,
                      .flags = header.flags,
                      .sequence = ++sequence_,
                      .state = header.state,
                      .about = header.about};
  Copy(head_, &record, sizeof(record));
  Copy(head_ + sizeof(record), payload.data(), payload.size());
  head_ += bytes;
  ring_.head->store(head_, std::memory_order_release);
  return OkStatus();
}

void RingReader::Copy(uint64_t at, void* to, size_t bytes) const {
  const size_t offset = at & (ring_.capacity - 1);
  const size_t first = std::min(bytes, ring_.capacity - offset);
  if (first > 0) std::memcpy(to, ring_.data + offset, first);
  if (bytes > first) std::memcpy(static_cast<std::byte*>(to) + first, ring_.data, bytes - first);
}

Status RingReader::Fail(std::string why) {
  broken_ = std::move(why);
  return DataLoss(broken_);
}

Result<bool> RingReader::Read(Message* out) {
  if (!broken_.empty()) return DataLoss(broken_);
  const uint64_t published = ring_.head->load(std::memory_order_acquire) - tail_;
  if (published == 0) return false;
  if (published > ring_.capacity || published < sizeof(Record))
    return Fail(fmt::format("ring: {} bytes published in a ring of {}", published, ring_.capacity));
  // Copied before it is looked at: the peer may change the bytes at any time.
  Record record;
  Copy(tail_, &record, sizeof(record));
  const uint64_t bytes = RecordBytes(record.payload_bytes);
  if (record.payload_bytes > kMessageBytesMax || bytes > published) {
    return Fail(fmt::format("ring: a message claims {} bytes, {} are published",
                            record.payload_bytes, published));
  }
  if (record.sequence != sequence_ + 1) {
    return Fail(fmt::format("ring: expected message {}, got {}", sequence_ + 1, record.sequence));
  }
  out->header = {.type = record.type,
                 .flags = record.flags,
                 .sequence = record.sequence,
                 .state = record.state,
                 .about = record.about};
  out->payload.resize(record.payload_bytes);
  Copy(tail_ + sizeof(record), out->payload.data(), record.payload_bytes);
  sequence_ = record.sequence;
  tail_ += bytes;
  ring_.tail->store(tail_, std::memory_order_release);
  return true;
}

}  // namespace fusee::ipc
