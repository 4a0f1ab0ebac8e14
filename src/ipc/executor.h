// How the server reaches execution: load a plan, ask what a request would produce, run a batch.
//
// This is the line along which processes split: everything that crosses it is plain data (names,
// numbers, spans of bytes, a Status), so an implementation may run in this process
// (worker/in_process_executor.h) or in another one (server/supervisor.h). The caller owns all
// request memory and keeps it untouched until the batch is reported done, which is what lets a
// batch be run again elsewhere after a device died.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/tensor.h"

namespace fusee::ipc {

inline constexpr int64_t kDynamicDim =
    -1;  // KServe's spelling of a dimension that varies from request to request

struct TensorInfo {
  std::string name;
  DType dtype = DType::kInvalid;
  std::vector<int64_t>
      shape;  // kDynamicDim where it varies; the batch dimension, when there is one, is included
};

// One tuned point of the plan with its measured run times, microseconds; count 0 means not
// measured.
struct BucketInfo {
  std::vector<int64_t> symbol_values;  // in the order of ModelInfo::symbols
  uint64_t count = 0;
  double p50_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
};

// A run-time dimension of the model and the range its plan was built for.
struct SymbolInfo {
  std::string name;
  int64_t min = 0, max = 0;
  // Where a request carries it: dimension `axis` of input `input`, or, when axis is -1, a value
  // inside that input.
  uint32_t input = 0;
  int32_t axis = 0;
};

// Everything the server shows or decides about a loaded model. Immutable.
struct ModelInfo {
  std::string name;  // given at load: the folder's name
  int64_t version = 0;
  std::vector<TensorInfo> inputs, outputs;
  std::vector<SymbolInfo> symbols;
  std::vector<BucketInfo> buckets;  // ascending
  // Index into symbols of the dimension that requests may share: it is dimension 0 of every input
  // and every output, and the plan's certificate says that a row does not depend on its neighbours.
  // -1: requests run one at a time.
  int32_t batch_symbol = -1;
  std::string not_batched_because;  // empty when batch_symbol >= 0
  bool verified = false;  // the plan's certificate; a server refuses other plans unless told not to
  std::string verification;   // one line for a person
  uint64_t memory_bytes = 0;  // taken at load, weights included
  std::string plan_digest;    // hexadecimal SHA-256 of the plan file, or empty
};

// A loaded model. Thread-safe. Destroying the last reference unloads it; the caller first waits for
// its batches.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // The output shapes for these input shapes (inputs.size() and outputs.size() equal info()'s),
  // after checking dtype-free validity: ranks, fixed dimensions, equal dimensions, each symbol's
  // range. Symbols read from input values (axis -1), and sizes that a run finds, are taken at their
  // maximum, so that the result bounds the output. Errors: kInvalidArgument, kOutOfRange (outside
  // the profile), both naming the input. Cost: microseconds, no blocking.
  virtual Status OutputShapes(std::span<const Shape> inputs, std::span<Shape> outputs) const = 0;
};

// One request's tensors, in the order of ModelInfo. Input bytes need no alignment. Output views
// have the shapes that OutputShapes gave; an output smaller than its view (only with axis -1
// symbols or sizes that a run finds) has its shape rewritten by the run.
struct BatchItem {
  std::span<const ConstTensorView> inputs;
  std::span<TensorView> outputs;
};

struct Batch {
  uint64_t id = 0;               // chosen by the caller, echoed in the result
  const Model* model = nullptr;  // kept alive by the caller until OnBatchDone
  // More than one item only for models with a batch_symbol; then all equal in everything but
  // dimension 0, and their rows together are within the symbol's range. Kept alive by the caller
  // until OnBatchDone.
  std::span<BatchItem> items;
  // How long it should take; zero when nothing is known. Whoever watches for hangs judges by it.
  Duration predicted{};
};

struct BatchResult {
  uint64_t id = 0;
  Status status;  // of the whole batch; on error no output is defined
  // The device ended before it answered: nothing is wrong with the batch, another may run it. Its
  // outputs may still be written to until the device is known to be dead, so whoever runs it again
  // gives it other output memory.
  bool lost = false;
  // Lost, but before the device had begun it: whatever ended the device, it was not the batch.
  bool blameless = false;
  // It was sent while the device did something else (a golden run), so that the time from Execute
  // on says nothing about the batch.
  bool waited = false;
  Duration gather{}, compute{}, scatter{};  // copying rows in, running, copying rows out
};

// Told when a batch is over, exactly once per Execute, on a thread of the executor's. Must not
// block; may call Execute.
class BatchListener {
 public:
  virtual ~BatchListener() = default;
  virtual void OnBatchDone(BatchResult result) = 0;
};

// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  // Loads the plan at path, takes all its memory, replays its golden runs. Blocking, may take
  // seconds; never called on a thread that serves requests. Errors: those of the plan loader,
  // prefixed with the path.
  virtual Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                    const std::string& name, int64_t version) = 0;

  // Queues the batch and returns at once; batches of one executor run one after another, in order.
  // listener outlives the batch.
  virtual void Execute(const Batch& batch, BatchListener* listener) = 0;
};

}  // namespace fusee::ipc
