// A worker for tests of the supervisor: speaks the protocol without a runtime. Its one model
// answers with its input. --device says how it behaves, --faults arms base/fault.h.
//
// - echo: as it should
// - silent: never says hello
// - garbage: random bytes in the ring
// - babble: a message of unknown type when ready
// - twice: answers a batch twice
// - larger: answers with an output beyond its place
// - absent: its device is not there
// - refuse: cannot load the model
// - other: its plan's digest is another in every process
// - poison: dies of an input that begins with kPoison
// - unprobed: has no golden run for an idle device
// - damaged: cannot load the model of the name "bad"
// - mismatch: ends of wrong golden outputs when it loads the model of the name "bad"
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "base/fault.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/worker_exit.h"

namespace fusee {
namespace {

using namespace ipc;

constexpr float kPoison = 666;

LoadedMessage Describe(const LoadMessage& load, std::string_view mode) {
  LoadedMessage loaded{.model = load.model};
  if (mode == "refuse" || (mode == "damaged" && load.name == "bad")) {
    loaded.status = DataLoss("the plan is damaged");
    return loaded;
  }
  loaded.info = {.name = "ignored",
                 .inputs = {{"INPUT", DType::kF32, {-1, 4}}},
                 .outputs = {{"OUTPUT", DType::kF32, {-1, 4}}},
                 .verified = true};
  loaded.info.symbols = {{.name = "batch", .min = 1, .max = 8}};
  loaded.info.buckets = {{.symbol_values = {8}, .count = 10, .p50_us = 100, .p99_us = 100}};
  loaded.info.batch_symbol = 0;
  loaded.info.plan_digest = mode == "other" ? std::to_string(getpid()) : "digest";
  loaded.shapes.dims = {{ShapeProgram::Op::kSymbol, 0, 0}, {ShapeProgram::Op::kConstant, 4, 0}};
  loaded.shapes.inputs = loaded.shapes.outputs = {{0, 1}};
  return loaded;
}

class FakeWorker {
 public:
  explicit FakeWorker(std::string mode)
      : mode_(std::move(mode)),
        channel_(*Channel::Open(Descriptor(kFdChannel), Descriptor(kFdRequests),
                                Descriptor(kFdReplies))),
        inputs_(*SharedMemory::Map(Descriptor(kFdInputs), Access::kRead)),
        outputs_(*SharedMemory::Map(Descriptor(kFdOutputs), Access::kReadWrite)),
        reader_(channel_.requests()),
        writer_(channel_.replies()) {}

  void Run() {
    fault::Hit(fault::Point::kStart);
    if (mode_ == "absent") _exit(static_cast<int>(WorkerExit::kDeviceAbsent));
    if (mode_ == "garbage") Garbage();
    std::vector<std::byte> payload;
    Encode(HelloMessage{.device = mode_, .description = {}}, &payload);
    if (mode_ != "silent") Reply(MessageType::kHello, payload);
    Message message;
    while (true) {
      const auto read = reader_.Read(&message);
      if (!read.ok()) _exit(static_cast<int>(WorkerExit::kProtocol));
      if (*read)
        Serve(message);
      else
        Wait();
    }
  }

 private:
  void Garbage() {
    std::mt19937_64 random(static_cast<uint64_t>(getpid()));
    const RingMemory ring = channel_.replies();
    for (size_t i = 0; i < 65536; i += 8) {
      const uint64_t word = random();
      std::memcpy(ring.data + i, &word, 8);
    }
    ring.head->store(random() % 65536);
    channel_.reply_bell().Ring();
    Wait();
  }

  void Wait() {
    pollfd fds[] = {{.fd = channel_.request_bell().fd(), .events = POLLIN, .revents = 0},
                    {.fd = kFdLife, .events = POLLIN, .revents = 0}};
    poll(fds, 2, -1);
    channel_.request_bell().Hear();
    if (fds[1].revents != 0) _exit(0);
  }

  [[noreturn]] void Mismatch() {
    std::vector<std::byte> payload;
    Encode(LastWordsMessage{.text = "plan 'p': output 'OUTPUT', element 3"}, &payload);
    Reply(MessageType::kLastWords, payload);
    _exit(static_cast<int>(WorkerExit::kGoldenMismatch));
  }

  void Reply(MessageType type, std::span<const std::byte> payload, uint64_t about = 0) {
    const MessageHeader header{
        .type = static_cast<uint16_t>(type), .flags = kFinal, .about = about};
    if (!writer_.Write(header, payload).ok()) _exit(static_cast<int>(WorkerExit::kProtocol));
    channel_.reply_bell().Ring();
  }

  void Serve(const Message& message) {
    std::vector<std::byte> payload;
    switch (static_cast<MessageType>(message.header.type)) {
      case MessageType::kLoad: {
        fault::Hit(fault::Point::kLoad);
        LoadMessage load;
        (void)Decode(message.payload, &load);
        if (fault::Hit(fault::Point::kGolden) == fault::Effect::kWrong) Mismatch();
        if (mode_ == "mismatch" && load.name == "bad") Mismatch();
        (void)Encode(Describe(load, mode_), &payload);
        Reply(MessageType::kLoaded, payload);
        if (mode_ == "babble") Reply(static_cast<MessageType>(999), {});
        return;
      }
      case MessageType::kBatch: return Batch(message);
      case MessageType::kPing: return Reply(MessageType::kPong, {});
      case MessageType::kProbe:
        if (fault::Hit(fault::Point::kProbe) == fault::Effect::kWrong) Mismatch();
        Encode(ProbedMessage{.probed = mode_ != "unprobed"}, &payload);
        return Reply(MessageType::kProbed, payload, message.header.about);
      default: _exit(0);
    }
  }

  void Batch(const Message& message) {
    fault::Hit(fault::Point::kBatch);
    BatchMessage batch;
    (void)Decode(message.payload, &batch);
    DoneMessage done{.id = batch.id};
    for (size_t i = 0; i + 1 < batch.places.size(); i += 2) {
      const auto bytes = static_cast<size_t>(batch.places[i].rows) * 4 * sizeof(float);
      float first = 0;
      std::memcpy(&first, inputs_.data() + batch.places[i].offset, sizeof(first));
      if (mode_ == "poison" && first == kPoison) kill(getpid(), SIGKILL);
      std::memcpy(outputs_.data() + batch.places[i + 1].offset,
                  inputs_.data() + batch.places[i].offset, bytes);
    }
    if (batch.places.size() == 2) {
      Shape shape = batch.shapes[1];
      if (mode_ == "larger") shape[0] += 1;
      done.outputs.push_back(shape);
    }
    std::vector<std::byte> payload;
    Encode(done, &payload);
    fault::Hit(fault::Point::kReply);
    Reply(MessageType::kDone, payload);
    if (mode_ == "twice") Reply(MessageType::kDone, payload);
  }

  const std::string mode_;
  Channel channel_;
  SharedMemory inputs_, outputs_;
  RingReader reader_;
  RingWriter writer_;
};

}  // namespace
}  // namespace fusee

int main(int argc, char** argv) {
  std::string mode;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--device") mode = argv[i + 1];
    if (std::string_view(argv[i]) == "--faults" && !fusee::fault::Arm(argv[i + 1]).ok()) return 2;
  }
  fusee::FakeWorker(mode).Run();
}
