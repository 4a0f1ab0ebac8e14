// What front and worker say to each other, as bytes of ring messages.
//
//   front -> worker                            worker -> front
//   kLoad   model, path, name, version         kHello   protocol, device
//   kBatch  id, model, shapes, places          kLoaded  model, status or description
//   kPing                                      kDone    batch id, status, times, output shapes
//   kProbe                                     kPong
//   kStop                                      kProbed  whether there was anything to probe
//                                              kLastWords  text, before an exit that has a reason
//
// Every answer so far carries kFinal: there is one for each question. Last words answer none.
// `about` in the header names the question (model number, batch id, ping number).
//
// A worker's bytes are untrusted: every decoder checks counts, ranges and the message's end, and an
// error means that the worker is to be replaced. Tensors are named by offset into the slabs, which
// each side checks against its own mapping.
#pragma once

#include <string>
#include <vector>

#include "ipc/executor.h"
#include "ipc/ring.h"
#include "ipc/shape_program.h"

namespace fusee::ipc {

// Both sides come from one build, or do not talk.
inline constexpr uint32_t kProtocol = 2;

enum class MessageType : uint16_t {
  kLoad = 1,
  kBatch = 2,
  kPing = 3,
  kStop = 4,
  kProbe = 5,
  kHello = 101,
  kLoaded = 102,
  kDone = 103,
  kPong = 104,
  kProbed = 105,
  kLastWords = 106,
};

struct LoadMessage {
  uint32_t model = 0;  // the number by which batches name it
  std::string path, name;
  int64_t version = 0;
};

struct HelloMessage {
  uint32_t protocol = kProtocol;
  std::string device;       // "cpu", "cuda:0"
  std::string description;  // for a person
};

struct LoadedMessage {
  uint32_t model = 0;
  Status status;  // not ok: why it could not be loaded; then nothing follows
  ModelInfo info;
  ShapeProgram shapes;
};

// Where one tensor of one request lies: inputs in the input slab, outputs in the output slab.
struct TensorPlace {
  uint64_t offset = 0;
  int64_t rows = 0;  // dimension 0; 1 for a scalar
};

// A batch by places only; bytes lie in the slabs. Items are equal but for dimension 0.
struct BatchMessage {
  uint64_t id = 0;
  uint32_t model = 0;
  std::vector<Shape> shapes;        // inputs, then outputs; dimension 0 is each item's own
  std::vector<TensorPlace> places;  // item by item, in the order of shapes
};

struct DoneMessage {
  uint64_t id = 0;
  Status status;
  Duration gather{}, compute{}, scatter{};
  std::vector<Shape> outputs;  // of a batch of one item; empty for others
};

// A request that comes while a probe runs waits for it, and no latency table knows of that: plans
// whose quickest golden run takes longer are not probed.
inline constexpr Duration kProbeTimeMax = std::chrono::milliseconds(10);

// A golden run was made and its bits were right; or, with probed false, no model has one that is
// quick enough, and asking again is in vain.
struct ProbedMessage {
  bool probed = false;
};

// What a worker that is about to end by itself has to say; its exit status follows.
struct LastWordsMessage {
  std::string text;
};

// Encoders replace *out. Errors (batches and descriptions only): kResourceExhausted when the
// message would exceed kMessageBytesMax.
void Encode(const LoadMessage& message, std::vector<std::byte>* out);
void Encode(const HelloMessage& message, std::vector<std::byte>* out);
Status Encode(const LoadedMessage& message, std::vector<std::byte>* out);
Status Encode(const BatchMessage& message, std::vector<std::byte>* out);
void Encode(const DoneMessage& message, std::vector<std::byte>* out);
void Encode(const ProbedMessage& message, std::vector<std::byte>* out);
void Encode(const LastWordsMessage& message, std::vector<std::byte>* out);

// Decoders take any bytes. Errors: kDataLoss. What they accept is bounded; a LoadedMessage has also
// passed CheckModel.
Status Decode(std::span<const std::byte> bytes, LoadMessage* out);
Status Decode(std::span<const std::byte> bytes, HelloMessage* out);
Status Decode(std::span<const std::byte> bytes, LoadedMessage* out);
Status Decode(std::span<const std::byte> bytes, BatchMessage* out);
Status Decode(std::span<const std::byte> bytes, DoneMessage* out);
Status Decode(std::span<const std::byte> bytes, ProbedMessage* out);
Status Decode(std::span<const std::byte> bytes, LastWordsMessage* out);

}  // namespace fusee::ipc
