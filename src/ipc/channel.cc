#include "ipc/channel.h"

#include <fmt/format.h>

#include "base/checked_math.h"

namespace fusee::ipc {
namespace {

constexpr size_t kPage = 4096;
size_t RequestBytes() { return AlignUp(RingMemory::BytesFor(kRequestRingBytes), kPage); }
size_t ChannelBytes() {
  return RequestBytes() + AlignUp(RingMemory::BytesFor(kReplyRingBytes), kPage);
}

}  // namespace

Result<Channel> Channel::Create() {
  FUSEE_TRY(SharedMemory memory, SharedMemory::Create("fusee-channel", ChannelBytes()));
  FUSEE_TRY(Bell requests, Bell::Create());
  FUSEE_TRY(Bell replies, Bell::Create());
  return Channel(std::move(memory), std::move(requests), std::move(replies));
}

Result<Channel> Channel::Open(Descriptor memory, Descriptor requests, Descriptor replies) {
  FUSEE_TRY(SharedMemory mapped, SharedMemory::Map(std::move(memory), Access::kReadWrite));
  if (mapped.size() != ChannelBytes()) {
    return InvalidArgument(fmt::format("channel: expected {} bytes of shared memory, got {}",
                                       ChannelBytes(), mapped.size()));
  }
  return Channel(std::move(mapped), Bell(std::move(requests)), Bell(std::move(replies)));
}

RingMemory Channel::requests() const {
  return RingMemory(memory_.bytes().first(RingMemory::BytesFor(kRequestRingBytes)));
}
RingMemory Channel::replies() const {
  return RingMemory(memory_.bytes().subspan(RequestBytes(), RingMemory::BytesFor(kReplyRingBytes)));
}

}  // namespace fusee::ipc
