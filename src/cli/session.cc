#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cli/plan_file.h"
#include "cli/tensor_io.h"
#include "plan/decode.h"

namespace fusee::cli {
namespace {

template <typename T>
T Sized() {
  T value{};
  value.struct_size = sizeof value;
  return value;
}

Shape ShapeOf(const int64_t* dims, int32_t rank) {
  return Shape(std::span<const int64_t>(dims, static_cast<size_t>(rank)));
}

IoPort PortOf(const fusee_io_info& info) {
  IoPort port;
  port.name = info.name;
  port.shape_text = info.shape_text;
  port.dtype = static_cast<DType>(info.dtype);
  port.min = ShapeOf(info.min_shape, info.rank);
  port.opt = ShapeOf(info.opt_shape, info.rank);
  port.max = ShapeOf(info.max_shape, info.rank);
  port.pinned = info.pinned != 0;
  port.channels_last = info.channels_last != 0;
  return port;
}

std::string Names(const std::vector<IoPort>& ports) {
  std::string text;
  for (const IoPort& p : ports) text += fmt::format("{}{}", text.empty() ? "" : ", ", p.name);
  return text.empty() ? "none" : text;
}

Result<size_t> Find(const std::vector<IoPort>& ports, std::string_view name,
                    std::string_view what) {
  const auto it = std::ranges::find(ports, name, &IoPort::name);
  if (it == ports.end()) {
    return NotFound(fmt::format("the plan has no {} '{}'; it has: {}", what, name, Names(ports)));
  }
  return static_cast<size_t>(it - ports.begin());
}

// The shape of a raw file's tensor.
Result<Shape> RawShape(const IoPort& port, const NamedFile& file, const NamedShapes& shapes) {
  for (const auto& [name, dims] : shapes) {
    if (name == file.name) return Shape(dims);
  }
  if (port.is_static()) return port.max;
  return InvalidArgument(fmt::format(
      "'{}' is raw bytes and input '{}' is {}{}, so its shape must be said: --shapes {}:{}",
      file.file, port.name, DTypeName(port.dtype), port.shape_text, port.name,
      fmt::join(port.opt.dims(), "x")));
}

// A shape that no raw file takes does nothing, which is an error.
Status CheckShapesUsed(std::span<const NamedFile> files, const NamedShapes& shapes) {
  for (const auto& [name, dims] : shapes) {
    const auto used = [&name = name](const NamedFile& f) {
      return f.name == name && FormatOf(f.file) == TensorFormat::kRaw;
    };
    if (std::ranges::any_of(files, used)) continue;
    return InvalidArgument(
        fmt::format("--shapes {}:{} has no effect: no raw file is given for that input", name,
                    fmt::join(dims, "x")));
  }
  return OkStatus();
}

}  // namespace

Status FromC(fusee_status* status) {
  if (status == nullptr) return OkStatus();
  Status result(static_cast<StatusCode>(fusee_status_code(status)), fusee_status_message(status));
  fusee_status_free(status);
  return result;
}

Session::~Session() {
  fusee_context_free(context_);
  fusee_plan_free(plan_);
  fusee_threads_free(threads_);
  if (owns_device_) fusee_device_free(device_);
}

// A plan that cannot be read is refused where it is loaded, with the better message.
Status Session::OpenDevice(const SessionOptions& options, Result<plan::Header> header) {
  if (options.opened != nullptr) {
    device_ = options.opened;
    owns_device_ = false;
    return OkStatus();
  }
  std::string name = options.device;
  if (name.empty()) name = header.ok() ? header->device : "cpu";
  return FromC(fusee_device_open(name.c_str(), &device_));
}

std::string Session::DeviceName() const {
  auto info = Sized<fusee_device_info>();
  if (device_ == nullptr || !FromC(fusee_device_get_info(device_, &info)).ok()) return "";
  return info.name;
}

Result<fusee_driver_calls> Session::driver_calls() const {
  auto calls = Sized<fusee_driver_calls>();
  FUSEE_TRY(FromC(fusee_device_get_driver_calls(device_, &calls)));
  return calls;
}

Result<double> Session::RunDeviceTimed() {
  double us = 0;
  FUSEE_TRY(FromC(fusee_context_run_device_timed(context_, &us)));
  return us;
}

Status Session::MakeContext(const SessionOptions& options, const fusee_plan* plan) {
  auto context = Sized<fusee_context_options>();
  context.threads = threads_;
  context.no_graphs = options.no_graphs ? 1 : 0;
  context.no_transfers = options.no_transfers ? 1 : 0;
  context.marks = options.marks ? 1 : 0;
  return FromC(fusee_context_create(plan, &context, &context_));
}

Result<std::unique_ptr<Session>> Session::Another(const SessionOptions& options) const {
  std::unique_ptr<Session> session(new Session);
  session->device_ = device_;
  session->owns_device_ = false;
  session->info_ = info_;
  session->inputs_ = inputs_;
  session->outputs_ = outputs_;
  FUSEE_TRY(session->MakeContext(options, plan_));
  return session;
}

Result<std::unique_ptr<Session>> Session::Open(const std::string& path,
                                               const SessionOptions& options) {
  std::unique_ptr<Session> session(new Session);
  FUSEE_TRY(FromC(fusee_threads_create(options.threads, &session->threads_)));
  auto load = Sized<fusee_load_options>();
  load.skip_golden = options.skip_golden ? 1 : 0;
  load.map_weights = options.map_weights ? 1 : 0;
  load.threads = session->threads_;
  FUSEE_TRY(session->OpenDevice(options, ReadPlanHeader(path)));
  load.device = session->device_;
  fusee_status* status = fusee_plan_load(path.c_str(), &load, &session->plan_);
  return Finish(std::move(session), options, status);
}

Result<std::unique_ptr<Session>> Session::OpenBytes(std::span<const std::byte> bytes,
                                                    const SessionOptions& options) {
  std::unique_ptr<Session> session(new Session);
  FUSEE_TRY(FromC(fusee_threads_create(options.threads, &session->threads_)));
  auto load = Sized<fusee_load_options>();
  load.skip_golden = options.skip_golden ? 1 : 0;
  load.threads = session->threads_;
  FUSEE_TRY(session->OpenDevice(options, plan::ReadHeader(bytes, bytes.size())));
  load.device = session->device_;
  fusee_status* status = fusee_plan_load_bytes(bytes.data(), bytes.size(), &load, &session->plan_);
  return Finish(std::move(session), options, status);
}

Result<std::unique_ptr<Session>> Session::Finish(std::unique_ptr<Session> session,
                                                 const SessionOptions& options,
                                                 fusee_status* load_status) {
  FUSEE_TRY(FromC(load_status));
  session->info_ = Sized<fusee_plan_info>();
  FUSEE_TRY(FromC(fusee_plan_get_info(session->plan_, &session->info_)));
  FUSEE_TRY(session->ReadInterface());
  const TimePoint start = SteadyClock().Now();
  FUSEE_TRY(session->MakeContext(options, session->plan_));
  session->context_ms_ =
      std::chrono::duration<double, std::milli>(SteadyClock().Now() - start).count();
  return session;
}

Status Session::ReadInterface() {
  for (size_t i = 0; i < info_.input_count; ++i) {
    auto io = Sized<fusee_io_info>();
    FUSEE_TRY(FromC(fusee_plan_get_input(plan_, i, &io)));
    inputs_.push_back(PortOf(io));
  }
  for (size_t i = 0; i < info_.output_count; ++i) {
    auto io = Sized<fusee_io_info>();
    FUSEE_TRY(FromC(fusee_plan_get_output(plan_, i, &io)));
    outputs_.push_back(PortOf(io));
  }
  return OkStatus();
}

int Session::threads() const { return fusee_threads_width(threads_); }
Result<size_t> Session::FindInput(std::string_view name) const {
  return Find(inputs_, name, "input");
}
Result<size_t> Session::FindOutput(std::string_view name) const {
  return Find(outputs_, name, "output");
}

Status Session::SetShape(size_t input, const Shape& shape) {
  return FromC(fusee_context_set_input_shape(context_, input, shape.dims().data(), shape.rank()));
}

Status Session::SetInput(size_t input, const Tensor& tensor) {
  const IoPort& port = inputs_[input];
  if (port.pinned) {
    return InvalidArgument(fmt::format(
        "input '{}' is fixed: the plan was built for one value of it; leave it out", port.name));
  }
  if (tensor.dtype() != port.dtype) {
    return InvalidArgument(fmt::format("input '{}': the file holds {}, the plan takes {}{}",
                                       port.name, fusee::Describe(tensor.dtype(), tensor.shape()),
                                       DTypeName(port.dtype), port.shape_text));
  }
  FUSEE_TRY(SetShape(input, tensor.shape()));
  FUSEE_TRY(TensorView memory, Input(input));
  if (memory.size_bytes() > 0)
    std::memcpy(memory.data, tensor.view().data, static_cast<size_t>(memory.size_bytes()));
  return OkStatus();
}

Result<TensorView> Session::Input(size_t input) {
  auto tensor = Sized<fusee_tensor>();
  FUSEE_TRY(FromC(fusee_context_input(context_, input, &tensor)));
  return TensorView{static_cast<DType>(tensor.dtype), ShapeOf(tensor.shape, tensor.rank),
                    tensor.data};
}

Result<ConstTensorView> Session::Output(size_t output) const {
  auto tensor = Sized<fusee_tensor>();
  FUSEE_TRY(FromC(fusee_context_output(context_, output, &tensor)));
  return ConstTensorView{static_cast<DType>(tensor.dtype), ShapeOf(tensor.shape, tensor.rank),
                         tensor.data};
}

Result<std::string> Session::StepName(size_t step) const {
  auto info = Sized<fusee_step_info>();
  FUSEE_TRY(FromC(fusee_plan_get_step(plan_, step, &info)));
  return fmt::format("{} '{}' ({})", info.op, info.sources, info.kernel);
}

Result<std::string> Session::Describe(fusee_text_kind kind) const {
  char* text = nullptr;
  FUSEE_TRY(FromC(fusee_plan_describe(plan_, kind, &text)));
  std::string copy(text);
  fusee_text_free(text);
  return copy;
}

Status LoadInputs(Session& session, std::span<const NamedFile> files, const NamedShapes& shapes) {
  FUSEE_TRY(CheckShapesUsed(files, shapes));
  for (const NamedFile& file : files) {
    FUSEE_TRY(size_t input, session.FindInput(file.name));
    const IoPort& port = session.inputs()[input];
    Shape raw;
    if (FormatOf(file.file) == TensorFormat::kRaw) {
      FUSEE_TRY(raw, RawShape(port, file, shapes));
    }
    FUSEE_TRY(Tensor tensor, ReadTensor(file.file, port.dtype, raw));
    FUSEE_TRY(session.SetInput(input, tensor));
  }
  return OkStatus();
}

}  // namespace fusee::cli
