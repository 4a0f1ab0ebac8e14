// fusee-worker: one device's process, started by fusee-front, never by hand.
//
//   fusee-worker --device cpu --name cpu:0 [--threads N] [--sharers N] [--nvtx 0|1] [--faults SPEC]
//
// Channel, slabs, bells and the front's life come as inherited descriptors (ipc/channel.h).
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "base/fault.h"
#include "base/log.h"
#include "worker/library_environment.h"
#include "worker/worker_loop.h"

namespace fusee::worker {
namespace {

using ipc::WorkerExit;

struct Options {
  std::string device, name, faults;
  DeviceOptions device_options;
};

bool ParseInt(const char* text, int* out) {
  const char* end = text + std::strlen(text);
  const auto read = std::from_chars(text, end, *out);
  return read.ec == std::errc() && read.ptr == end;
}

bool ParseSwitch(std::string_view text, bool* out) {
  *out = text == "1";
  return text == "0" || text == "1";
}

// Options come from our own front, so what it does not know ends the process.
bool Parse(int argc, char** argv, Options* out) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* value = argv[i + 1];
    bool good = true;
    if (flag == "--device")
      out->device = value;
    else if (flag == "--name")
      out->name = value;
    else if (flag == "--faults")
      out->faults = value;
    else if (flag == "--threads")
      good = ParseInt(value, &out->device_options.threads);
    else if (flag == "--sharers")
      good = ParseInt(value, &out->device_options.sharers);
    else if (flag == "--nvtx")
      good = ParseSwitch(value, &out->device_options.marks);
    else
      good = false;
    if (!good) return false;
  }
  return argc % 2 == 1 && !out->device.empty();
}

bool HasDescriptors() {
  for (int fd = ipc::kFdChannel; fd < ipc::kFdChannel + ipc::kFdCount; ++fd) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return false;
  }
  return true;
}

// Drains are the front's business: a signal to the whole group (Ctrl-C, a service manager) must not
// end a worker whose batches are still to be answered.
void IgnoreStopSignals() {
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

WorkerExit Fail(WorkerExit reason, const Status& status) {
  spdlog::error("{}", status.message());
  return reason;
}

WorkerExit Serve(const Options& options) {
  auto channel = ipc::Channel::Open(Descriptor(ipc::kFdChannel), Descriptor(ipc::kFdRequests),
                                    Descriptor(ipc::kFdReplies));
  if (!channel.ok()) return Fail(WorkerExit::kResources, channel.status());
  Descriptor inputs_fd(ipc::kFdInputs);
  const bool writable = (fcntl(inputs_fd.get(), F_GETFL) & O_ACCMODE) == O_RDWR;
  auto inputs = ipc::SharedMemory::Map(std::move(inputs_fd),
                                       writable ? ipc::Access::kReadWrite : ipc::Access::kRead);
  if (!inputs.ok()) return Fail(WorkerExit::kResources, inputs.status());
  auto outputs = ipc::SharedMemory::Map(Descriptor(ipc::kFdOutputs), ipc::Access::kReadWrite);
  if (!outputs.ok()) return Fail(WorkerExit::kResources, outputs.status());
  Descriptor life(ipc::kFdLife);

  auto device = OpenDevice(options.device, options.device_options);
  if (!device.ok()) return Fail(WorkerExit::kDeviceAbsent, device.status());
  if (Status s = (*device)->BindRequestMemory(inputs->bytes(), outputs->bytes()); !s.ok())
    return Fail(WorkerExit::kResources, s);
  WorkerLoop loop(&*channel, inputs->bytes(), outputs->bytes(), std::move(life), device->get(),
                  &SteadyClock());
  return loop.Run(options.device);
}

WorkerExit Main(int argc, char** argv) {
  IgnoreStopSignals();
  // Also for a worker that hangs: it must not outlive the front.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Options options;
  if (!Parse(argc, argv, &options) || !HasDescriptors()) {
    std::fprintf(stderr, "fusee-worker is started by fusee-front; use: fusee serve\n");
    return WorkerExit::kUsage;
  }
  InitLog("info");
  if (!options.name.empty())
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %L worker " + options.name + ": %v");
  for (const std::string& name : ClearLibraryEnvironment())
    spdlog::warn("{} is ignored: it would change what the device's libraries compute", name);
  if (Status status = fault::Arm(options.faults); !status.ok())
    return Fail(WorkerExit::kUsage, status);
  fault::Hit(fault::Point::kStart);
  return Serve(options);
}

}  // namespace
}  // namespace fusee::worker

// _exit: threads of a device library may be stuck, and the front waits for this process to end.
int main(int argc, char** argv) { _exit(static_cast<int>(fusee::worker::Main(argc, argv))); }
