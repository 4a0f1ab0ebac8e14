#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "base/file.h"
#include "device/arena.h"
#include "plan/decode.h"
#include "runtime/bound_plan.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::runtime {
namespace {

// Lends a Parallel to the plan room, which knows no threads.
plan::TaskRunner RunnerOf(Parallel* parallel) {
  if (parallel == nullptr) return {};
  return {[](void* self, int64_t count, void (*task)(void*, int64_t), void* context) {
            static_cast<Parallel*>(self)->For(count, task, context);
          },
          parallel};
}

struct Bytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// A copy in memory of our own: what the digests are checked on is then what runs, whatever happens
// to the original.
Result<Bytes> CopyToArena(std::span<const std::byte> bytes) {
  FUSEE_TRY(Arena arena, Arena::Allocate(bytes.size()));
  auto owner = std::make_shared<Arena>(std::move(arena));
  std::ranges::copy(bytes, owner->data());
  return Bytes{owner->bytes(), owner};
}

// Reads the file without mapping it: a file cut short meanwhile is an error here, not a signal.
Result<Bytes> ReadFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const auto failed = [&](const char* what) {
    const std::string message =
        fmt::format("cannot {} plan '{}': {}", what, path, std::strerror(errno));
    if (errno == ENOENT || errno == ENOTDIR) return NotFound(message);
    if (errno == EACCES || errno == EPERM) return Status(StatusCode::kPermissionDenied, message);
    return Unavailable(message);
  };
  if (!file.ok()) return failed("open");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return failed("stat");
  if (!S_ISREG(info.st_mode))
    return InvalidArgument(fmt::format("plan '{}' is not a regular file", path));
  const auto size = static_cast<size_t>(info.st_size);
  // The header first: a file that is no plan costs one page, not its size.
  std::vector<std::byte> header(std::min(size, plan::kHeaderBytes));
  if (::pread(file.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()))
    return failed("read");
  if (auto preflight = plan::ReadHeader(header, size); !preflight.ok())
    return std::move(preflight).status();
  FUSEE_TRY(Arena arena, Arena::Allocate(size));
  auto owner = std::make_shared<Arena>(std::move(arena));
  for (size_t done = 0; done < size;) {
    const ssize_t n =
        ::pread(file.get(), owner->data() + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read");
    if (n == 0)
      return DataLoss(
          fmt::format("plan '{}' ended at {} of {} bytes; copy it again", path, done, size));
    done += static_cast<size_t>(n);
  }
  return Bytes{owner->bytes(), owner};
}

}  // namespace

LoadedPlan::~LoadedPlan() = default;

Result<std::shared_ptr<const LoadedPlan>> LoadedPlan::Load(const std::string& path,
                                                           const LoadOptions& options) {
  Bytes bytes;
  if (options.weights == WeightsMemory::kMapped) {
    FUSEE_TRY(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
    bytes = {file->bytes(), file};
  } else {
    auto read = ReadFile(path);
    if (!read.ok()) return std::move(read).status().Annotate("'" + path + "'");
    bytes = std::move(read).value();
  }
  auto loaded = FromBytes(bytes.bytes, bytes.owner, options);
  if (!loaded.ok()) return std::move(loaded).status().Annotate("'" + path + "'");
  return loaded;
}

Result<std::shared_ptr<const LoadedPlan>> LoadedPlan::FromBytes(std::span<const std::byte> bytes,
                                                                std::shared_ptr<const void> owner,
                                                                const LoadOptions& options) {
  Bytes aligned{bytes, std::move(owner)};
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kTensorAlignment != 0) {
    FUSEE_TRY(aligned, CopyToArena(bytes));
  }
  FUSEE_TRY(auto plan, plan::Decode(aligned.bytes, aligned.owner, RunnerOf(options.parallel)));
  FUSEE_TRY(plan::Header header, plan::ReadHeader(aligned.bytes, aligned.bytes.size()));
  return Finish(std::move(plan), std::move(header), aligned.bytes, options);
}

Result<std::shared_ptr<const LoadedPlan>> LoadedPlan::FromPlan(
    std::shared_ptr<const plan::Plan> plan, const LoadOptions& options) {
  FUSEE_TRY(plan::Verify(*plan));
  if (reinterpret_cast<uintptr_t>(plan->weights.data()) % kTensorAlignment != 0) {
    FUSEE_TRY(Bytes weights, CopyToArena(plan->weights));
    auto copy = std::make_shared<plan::Plan>(*plan);
    copy->weights = weights.bytes;
    copy->weights_owner = weights.owner;
    plan = std::move(copy);
  }
  return Finish(std::move(plan), {}, {}, options);
}

Result<std::shared_ptr<const LoadedPlan>> LoadedPlan::Finish(std::shared_ptr<const plan::Plan> plan,
                                                             plan::Header header,
                                                             std::span<const std::byte> file_bytes,
                                                             const LoadOptions& options) {
  const plan::Certificate& certificate = plan->certificate;
  if (!certificate.verified && !options.allow_unverified) {
    return FailedPrecondition(fmt::format(
        "plan is not verified ({}); rebuild it without --no-verify, or allow unverified plans",
        certificate.reason.empty() ? "no reason given" : certificate.reason));
  }
  std::shared_ptr<LoadedPlan> loaded(new LoadedPlan);
  FUSEE_TRY(loaded->bound_, BindPlan(*plan, options));
  loaded->plan_ = std::move(plan);
  loaded->header_ = std::move(header);
  loaded->file_bytes_ = file_bytes;
  if (options.replay_golden) FUSEE_TRY(ReplayGolden(loaded, options.parallel));
  return std::shared_ptr<const LoadedPlan>(std::move(loaded));
}

uint64_t LoadedPlan::context_bytes() const {
  return plan_->activation_bytes + plan_->io_bytes + plan_->state_bytes + plan_->workspace_bytes;
}

Device* LoadedPlan::device() const { return bound_->device; }
std::optional<size_t> LoadedPlan::batch_symbol() const { return bound_->batch_symbol; }

std::optional<size_t> LoadedPlan::FindInput(std::string_view name) const {
  const auto it = std::ranges::find(plan_->inputs, name, &plan::IoDef::name);
  if (it == plan_->inputs.end()) return std::nullopt;
  return static_cast<size_t>(it - plan_->inputs.begin());
}

std::optional<size_t> LoadedPlan::FindOutput(std::string_view name) const {
  const auto it = std::ranges::find(plan_->outputs, name, &plan::IoDef::name);
  if (it == plan_->outputs.end()) return std::nullopt;
  return static_cast<size_t>(it - plan_->outputs.begin());
}

}  // namespace fusee::runtime
