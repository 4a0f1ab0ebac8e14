// A worker process after its start: reads requests from the ring, runs them, replies.
//
//   kHello ->           <- kLoad ... kLoad       kLoaded -> (one for each, golden runs replayed)
//                       <- kBatch                kDone ->
//                       <- kPing                 kPong ->
//                       <- kProbe                kProbed -> (one golden run of one model, in turn)
//                       <- kStop                 (ends)
//
// Who is at fault when a plan cannot be served:
//
//   at load   it cannot be loaded, or its runs cannot be made   the plan: kLoaded says why
//             other bits than it should give, twice the same    the plan: kLoaded says why
//             other bits, and others again, or right the next time   the device
//   later     other bits, or a run that cannot be made any more      the device
//
// For a plan's fault the worker goes on: nothing is wrong with it. A device that computes one thing
// wrongly is trusted with nothing: the worker ends (kGoldenMismatch).
//
// One thread; requests are served in order. Whatever a batch names is checked against the model and
// the slabs before a byte is touched, so a front's mistake is an error and not a crash.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "ipc/worker_exit.h"
#include "worker/device.h"

namespace fusee::worker {

class WorkerLoop {
 public:
  // All borrowed but life, the reading end of a pipe whose end means that the front is gone.
  WorkerLoop(ipc::Channel* channel, std::span<const std::byte> inputs, std::span<std::byte> outputs,
             Descriptor life, WorkerDevice* device, const Clock* clock);

  // Says hello and serves until told to stop, until the front is gone, or until the device is lost.
  ipc::WorkerExit Run(const std::string& device_name);

 private:
  // Each serves one request; anything but kOk with stop_ unset ends the loop.
  ipc::WorkerExit Serve(const ipc::Message& request);
  ipc::WorkerExit Load(const ipc::Message& request);
  ipc::WorkerExit RunBatch(const ipc::Message& request);
  ipc::WorkerExit Probe(const ipc::Message& request);
  // Ends because of a golden run; `what` says which and what to do next.
  ipc::WorkerExit Mismatch(std::string_view what);
  Status Place(const ipc::BatchMessage& batch, const WorkerModel& model);
  ipc::WorkerExit Reply(ipc::MessageType type, uint64_t about, std::span<const std::byte> payload);
  // False when the front is gone.
  bool WaitForRequest();

  ipc::Channel* const channel_;
  const std::span<const std::byte> inputs_;
  const std::span<std::byte> outputs_;
  const Descriptor life_;
  WorkerDevice* const device_;
  const Clock* const clock_;
  ipc::RingReader reader_;
  ipc::RingWriter writer_;
  std::map<uint32_t, std::unique_ptr<WorkerModel>> models_;
  std::map<uint32_t, std::string> names_;  // by model: name, version and path, for messages
  uint32_t probe_from_ = 0;                // the model whose turn it is, or the next after it
  bool stop_ = false;
  // Of the running batch; kept so that batch after batch allocates little.
  ipc::BatchMessage batch_;
  std::vector<ConstTensorView> input_views_;
  std::vector<TensorView> output_views_;
  std::vector<ipc::BatchItem> items_;
  std::vector<std::byte> payload_;
};

}  // namespace fusee::worker
