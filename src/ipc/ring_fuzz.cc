// Any bytes in a ring and in the messages that come out of it: what a front reads from a worker.
//
// Input: 8 bytes of published count, then the ring's bytes, repeated; with an odd first byte, the
// rest is one message's payload instead, so that decoders are reached without a valid record.
#include <cstring>

#include "ipc/messages.h"
#include "ipc/shared_memory.h"

namespace {

using namespace fusee;
using namespace fusee::ipc;

// Reads what a front reads, and uses it as a front does.
void Understand(std::span<const std::byte> payload) {
  HelloMessage hello;
  (void)Decode(payload, &hello);
  DoneMessage done;
  if (Decode(payload, &done).ok()) {
    for (const Shape& shape : done.outputs) FUSEE_CHECK(shape.rank() <= kMaxRank, "rank");
  }
  LoadMessage load;
  (void)Decode(payload, &load);
  BatchMessage batch;
  (void)Decode(payload, &batch);
  LoadedMessage loaded;
  if (!Decode(payload, &loaded).ok() || !loaded.status.ok()) return;
  std::vector<Shape> inputs, outputs(loaded.info.outputs.size());
  for (const TensorInfo& t : loaded.info.inputs) {
    std::vector<int64_t> dims = t.shape;
    for (int64_t& d : dims) d = d < 0 ? 2 : d;
    inputs.emplace_back(dims);
  }
  (void)OutputShapes(loaded.info, loaded.shapes, inputs, outputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  if (size < 9) return 0;
  if (data[0] % 2 == 1) {
    Understand({bytes + 1, size - 1});
    return 0;
  }
  static SharedMemory memory = *SharedMemory::Create("fuzz", RingMemory::BytesFor(kRingBytesMin));
  const RingMemory ring(memory.bytes().first(RingMemory::BytesFor(kRingBytesMin)));
  uint64_t head = 0;
  std::memcpy(&head, data + 1, 8);
  for (size_t i = 0; i < ring.capacity; ++i)
    ring.data[i] = size > 9 ? bytes[9 + i % (size - 9)] : std::byte{0};
  ring.head->store(head % 3 == 0 ? head : head % (ring.capacity + 64));
  ring.tail->store(0);
  RingReader reader(ring);
  Message message;
  while (true) {
    const auto read = reader.Read(&message);
    if (!read.ok() || !*read) break;
    FUSEE_CHECK(message.payload.size() <= ring.capacity, "a message larger than its ring");
    Understand(message.payload);
  }
  return 0;
}
