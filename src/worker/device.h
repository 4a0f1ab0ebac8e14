// What a worker needs of the device it stands for: load plans, run batches. One implementation for
// each kind of device; open_device.cc knows them by name.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/clock.h"
#include "ipc/executor.h"
#include "ipc/shape_program.h"

namespace fusee::worker {

// Golden runs that gave other bits than when the plan was verified.
struct WrongBits {
  std::string where;  // "golden point 0: output 'y', element 3: other bits than ..."
  // A second run gave the same wrong bits. A device that errs would hardly err twice alike: the
  // plan is not what was verified, or was verified on a machine that computes otherwise.
  bool repeats = false;
};

// A plan with all the memory it needs. Of one thread.
class WorkerModel {
 public:
  virtual ~WorkerModel() = default;
  virtual const ipc::ModelInfo& info() const = 0;
  virtual const ipc::ShapeProgram& shapes() const = 0;

  // Gathers the items' rows, runs, scatters the rows back. Item tensors lie in the memory given to
  // BindRequestMemory, at any alignment of at least the element's; each item's shapes are within
  // the profile and together within the batch's range. Of a batch of one item, outputs smaller than
  // their views have their shapes rewritten. Sets gather, compute and scatter of *times. Errors:
  // the runtime's; afterwards WorkerDevice::Health says whether the device still is of use.
  virtual Status Run(std::span<ipc::BatchItem> items, const Clock& clock,
                     ipc::BatchResult* times) = 0;

  // The plan's golden runs, on the memory that serves (worker/golden_runs.h); nullopt: the bits are
  // right. Wrong bits that do not repeat are the device's: it computes wrongly, and nothing of it
  // is to be trusted. Errors: the runs could not be made; afterwards Health counts.
  virtual Result<std::optional<WrongBits>> ReplayGolden(const Clock& clock) = 0;
  // One of them again, quick enough for an idle device. Precondition: can_probe, which is known
  // after ReplayGolden. Wrong bits are the device's, whether they repeat or not: they were right
  // before.
  virtual bool can_probe() const = 0;
  virtual Result<std::optional<WrongBits>> ProbeGolden() = 0;
};

class WorkerDevice {
 public:
  virtual ~WorkerDevice() = default;
  // One line for a person: "2 threads, avx512", "NVIDIA H200, driver 570.86".
  virtual std::string description() const = 0;

  // Told once, before the first Load: where all request tensors will lie, for a device that has to
  // register memory before it can reach it. The memory outlives the device.
  virtual Status BindRequestMemory(std::span<const std::byte> inputs,
                                   std::span<std::byte> outputs) {
    return OkStatus();
  }

  // Loads a plan and takes its memory; its golden runs are still to be replayed. Blocks. Errors:
  // those of the plan loader, prefixed with the path.
  virtual Result<std::unique_ptr<WorkerModel>> Load(const std::string& path,
                                                    const std::string& name, int64_t version) = 0;

  // Not ok once the device has met an error that only a new process can mend. Asked after every
  // Load and Run; the worker then ends without an answer, so that the batch is run elsewhere.
  virtual Status Health() const { return OkStatus(); }
};

struct DeviceOptions {
  int threads = 0;     // of the CPU for kernels; 0: those this process may use, divided by sharers
  int sharers = 1;     // workers of this machine's CPUs
  bool marks = false;  // of a GPU: name batches and steps for a profiler
};

// The device of this name: "cpu", "cuda:0". Errors: kNotFound when there is no such device
// here (now); kInvalidArgument for a name of no kind that this build knows; kUnimplemented for a
// kind it was built without.
Result<std::unique_ptr<WorkerDevice>> OpenDevice(const std::string& name,
                                                 const DeviceOptions& options);

}  // namespace fusee::worker
