#include "worker/worker_loop.h"

#include <fmt/format.h>
#include <poll.h>

#include "base/checked_math.h"
#include "base/fault.h"
#include "base/log.h"

namespace fusee::worker {
namespace {

using ipc::MessageType;
using ipc::WorkerExit;

// Whether a tensor of this type and shape lies within `bytes` bytes from offset on.
bool Fits(DType dtype, const Shape& shape, uint64_t offset, size_t bytes) {
  int64_t elements = 0, size = 0;
  return CheckedProduct(shape.dims(), &elements) &&
         CheckedMul<int64_t>(elements, BytesPerElement(dtype), &size) && offset <= bytes &&
         static_cast<uint64_t>(size) <= bytes - offset;
}

Status PlanAtFault(const std::string& path, const WrongBits& wrong) {
  return DataLoss(fmt::format(
      "'{0}': {1}, and the same wrong bits again in a second run: the plan does not give "
      "on this machine what it gave where it was verified, so it is not served; look "
      "with `fusee verify {0}`, rebuild it here with `fusee build MODEL.onnx "
      "--save-plan {0} --locked {0}.lock`",
      path, wrong.where));
}

constexpr std::string_view kDeviceAtFault =
    "the device computes wrongly and serves nothing until a new process of it passes; if this "
    "comes again, check its memory and error counters, and repeat `fusee verify` of the plan on it";

}  // namespace

WorkerLoop::WorkerLoop(ipc::Channel* channel, std::span<const std::byte> inputs,
                       std::span<std::byte> outputs, Descriptor life, WorkerDevice* device,
                       const Clock* clock)
    : channel_(channel),
      inputs_(inputs),
      outputs_(outputs),
      life_(std::move(life)),
      device_(device),
      clock_(clock),
      reader_(channel->requests()),
      writer_(channel->replies()) {}

WorkerExit WorkerLoop::Run(const std::string& device_name) {
  Encode(ipc::HelloMessage{.device = device_name, .description = device_->description()},
         &payload_);
  if (WorkerExit e = Reply(MessageType::kHello, 0, payload_); e != WorkerExit::kOk) return e;
  ipc::Message request;
  while (!stop_) {
    const auto read = reader_.Read(&request);
    if (!read.ok()) {
      spdlog::error("{}", read.status().message());
      return WorkerExit::kProtocol;
    }
    if (!*read) {
      if (!WaitForRequest()) return WorkerExit::kOk;
      continue;
    }
    if (WorkerExit e = Serve(request); e != WorkerExit::kOk) return e;
  }
  return WorkerExit::kOk;
}

bool WorkerLoop::WaitForRequest() {
  pollfd fds[] = {{.fd = channel_->request_bell().fd(), .events = POLLIN, .revents = 0},
                  {.fd = life_.get(), .events = POLLIN, .revents = 0}};
  if (poll(fds, 2, -1) < 0) return true;  // interrupted
  channel_->request_bell().Hear();
  return fds[1].revents == 0;
}

WorkerExit WorkerLoop::Serve(const ipc::Message& request) {
  switch (static_cast<MessageType>(request.header.type)) {
    case MessageType::kLoad: return Load(request);
    case MessageType::kBatch: return RunBatch(request);
    case MessageType::kPing: return Reply(MessageType::kPong, request.header.about, {});
    case MessageType::kProbe: return Probe(request);
    case MessageType::kStop: stop_ = true; return WorkerExit::kOk;
    default: break;
  }
  spdlog::error("a request of unknown type {}", request.header.type);
  return WorkerExit::kProtocol;
}

WorkerExit WorkerLoop::Load(const ipc::Message& request) {
  ipc::LoadMessage load;
  if (Status status = Decode(request.payload, &load); !status.ok()) {
    spdlog::error("{}", status.message());
    return WorkerExit::kProtocol;
  }
  fault::Hit(fault::Point::kLoad);
  ipc::LoadedMessage loaded{.model = load.model};
  auto model = device_->Load(load.path, load.name, load.version);
  Result<std::optional<WrongBits>> wrong = std::optional<WrongBits>();
  if (model.ok()) wrong = (*model)->ReplayGolden(*clock_);
  if (const Status health = device_->Health(); !health.ok()) {
    spdlog::error("{}", health.message());
    return WorkerExit::kDeviceLost;
  }
  const std::string name =
      fmt::format("model '{}' version {}, plan '{}'", load.name, load.version, load.path);
  if (!wrong.ok())
    model = std::move(wrong).status().Annotate("'" + load.path + "'");
  else if (*wrong && (*wrong)->repeats)
    model = PlanAtFault(load.path, **wrong);
  else if (*wrong)
    return Mismatch(fmt::format("{}: {}, but not so in a second run: {}", name, (*wrong)->where,
                                kDeviceAtFault));
  if (model.ok()) {
    loaded.info = (*model)->info();
    loaded.shapes = (*model)->shapes();
    // What the front would refuse is better refused here, where the reason can be said.
    loaded.status = CheckModel(loaded.info, loaded.shapes);
  } else {
    loaded.status = model.status();
  }
  Status encoded = Encode(loaded, &payload_);
  if (!encoded.ok()) {
    loaded.status = std::move(encoded);
    (void)Encode(loaded, &payload_);
  }
  if (loaded.status.ok()) {
    models_[load.model] = std::move(*model);
    names_[load.model] = name;
  }
  return Reply(MessageType::kLoaded, load.model, payload_);
}

WorkerExit WorkerLoop::Probe(const ipc::Message& request) {
  auto model = models_.end();
  // From the one whose turn it is, all around.
  for (size_t i = 0; i < models_.size() && model == models_.end(); ++i) {
    auto at = models_.lower_bound(probe_from_);
    if (at == models_.end()) at = models_.begin();
    probe_from_ = at->first + 1;
    if (at->second->can_probe()) model = at;
  }
  Result<std::optional<WrongBits>> wrong = std::optional<WrongBits>();
  if (model != models_.end()) wrong = model->second->ProbeGolden();
  if (const Status health = device_->Health(); !health.ok()) {
    spdlog::error("{}", health.message());
    return WorkerExit::kDeviceLost;
  }
  // The same run was made at load, on the same memory: not being able to is being broken.
  if (!wrong.ok()) {
    return Mismatch(
        fmt::format("{}: a golden run that was made at load cannot be made any more: {}; "
                    "if this comes again in a new process, look at the device's log",
                    names_[model->first], wrong.status().message()));
  }
  if (*wrong) {
    return Mismatch(fmt::format("{}: {}, where the bits were right at load: {}",
                                names_[model->first], (*wrong)->where, kDeviceAtFault));
  }
  Encode(ipc::ProbedMessage{.probed = model != models_.end()}, &payload_);
  return Reply(MessageType::kProbed, request.header.about, payload_);
}

WorkerExit WorkerLoop::Mismatch(std::string_view what) {
  spdlog::error("{}", what);
  Encode(ipc::LastWordsMessage{.text = std::string(what)}, &payload_);
  (void)Reply(MessageType::kLastWords, 0, payload_);  // the exit status says the rest
  return WorkerExit::kGoldenMismatch;
}

Status WorkerLoop::Place(const ipc::BatchMessage& batch, const WorkerModel& model) {
  const ipc::ModelInfo& info = model.info();
  const size_t inputs = info.inputs.size(), tensors = inputs + info.outputs.size();
  if (batch.shapes.size() != tensors)
    return InvalidArgument(
        fmt::format("a batch of {} tensors, expected {}", batch.shapes.size(), tensors));
  const size_t items = batch.places.size() / tensors;
  if (items > 1 && info.batch_symbol < 0)
    return InvalidArgument("several requests for a model that is not batched");
  input_views_.clear();
  output_views_.clear();
  items_.clear();
  for (size_t k = 0; k < items * tensors; ++k) {
    const size_t t = k % tensors;
    const ipc::TensorPlace& place = batch.places[k];
    const bool is_input = t < inputs;
    const ipc::TensorInfo& tensor = is_input ? info.inputs[t] : info.outputs[t - inputs];
    Shape shape = batch.shapes[t];
    if (shape.rank() != static_cast<int>(tensor.shape.size()))
      return InvalidArgument(fmt::format("'{}': a shape of another rank", tensor.name));
    if (shape.rank() > 0) shape[0] = place.rows;
    if (!Fits(tensor.dtype, shape, place.offset, is_input ? inputs_.size() : outputs_.size()))
      return InvalidArgument(fmt::format("'{}' lies outside the slab", tensor.name));
    if (is_input)
      input_views_.push_back({tensor.dtype, shape, inputs_.data() + place.offset});
    else
      output_views_.push_back({tensor.dtype, shape, outputs_.data() + place.offset});
  }
  const size_t outputs = info.outputs.size();
  for (size_t k = 0; k < items; ++k) {
    items_.push_back({.inputs = std::span(input_views_).subspan(k * inputs, inputs),
                      .outputs = std::span(output_views_).subspan(k * outputs, outputs)});
  }
  return OkStatus();
}

WorkerExit WorkerLoop::RunBatch(const ipc::Message& request) {
  fault::Hit(fault::Point::kBatch);
  Status status = Decode(request.payload, &batch_);
  const auto model = status.ok() ? models_.find(batch_.model) : models_.end();
  if (status.ok() && model == models_.end()) status = NotFound("a batch of an unknown model");
  if (status.ok()) status = Place(batch_, *model->second);
  if (!status.ok()) {
    spdlog::error("{}", status.message());
    return WorkerExit::kProtocol;
  }
  if (fault::Hit(fault::Point::kRun) == fault::Effect::kSticky) return WorkerExit::kDeviceLost;
  ipc::BatchResult result;
  ipc::DoneMessage done{.id = batch_.id};
  done.status = model->second->Run(items_, *clock_, &result);
  if (const Status health = device_->Health(); !health.ok()) {
    spdlog::error("{}", health.message());
    return WorkerExit::kDeviceLost;
  }
  done.gather = result.gather;
  done.compute = result.compute;
  done.scatter = result.scatter;
  if (done.status.ok() && items_.size() == 1) {
    for (const TensorView& output : items_[0].outputs) done.outputs.push_back(output.shape);
  }
  Encode(done, &payload_);
  fault::Hit(fault::Point::kReply);
  return Reply(MessageType::kDone, batch_.id, payload_);
}

WorkerExit WorkerLoop::Reply(MessageType type, uint64_t about, std::span<const std::byte> payload) {
  const Status status = writer_.Write({.type = static_cast<uint16_t>(type),
                                       .flags = ipc::kFinal,
                                       .sequence = 0,
                                       .state = 0,
                                       .about = about},
                                      payload);
  if (!status.ok()) {
    spdlog::error("reply: {}", status.message());
    return WorkerExit::kProtocol;
  }
  channel_->reply_bell().Ring();
  return WorkerExit::kOk;
}

}  // namespace fusee::worker
