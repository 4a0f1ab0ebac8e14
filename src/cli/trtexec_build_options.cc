#include "cli/trtexec_build_options.h"

#include <fmt/format.h>

#include "base/file.h"
#include "cli/memory_pool_size.h"
#include "tune/timing_cache.h"

namespace fusee::cli {

void TrtexecBuildOptions::Add(CLI::App& app, CLI::Option* needs) {
  const std::string prefix = needs != nullptr ? "with --onnx: " : "";
  CLI::Option* cache = app.add_option(
      "--timingCacheFile", timing_cache_,
      prefix +
          "what was measured. With tuning: the time of every tactic, read if it is there and "
          "written with what is new (for example --timingCacheFile=m.timings). Without: the "
          "lockfile, read if it is there, else written");
  CLI::Option* pools =
      app.add_option("--memPoolSize", memory_pools_,
                     prefix +
                         "workspace:SIZE, the most scratch memory the plan may need; SIZE in "
                         "MiB, or with B, K, M, G");
  if (needs != nullptr) {
    cache->needs(needs);
    pools->needs(needs);
  }
}

bool TrtexecBuildOptions::Tunes(const compiler::BuildOptions& options) {
  return options.tune.value_or(options.device != "cpu");
}

Status TrtexecBuildOptions::Prepare(compiler::BuildOptions* options) {
  if (!memory_pools_.empty()) {
    FUSEE_TRY(workspace_limit_bytes_, ParseMemPoolSize(memory_pools_));
  }
  if (timing_cache_.empty()) return OkStatus();
  if (!options->lockfile.empty()) {
    return InvalidArgument("--timingCacheFile and --locked both name a lockfile; give one of them");
  }
  auto text = ReadSmallFile(timing_cache_, tune::kTimingCacheBytesMax);
  if (!text.ok() && text.status().code() != StatusCode::kNotFound) return std::move(text).status();
  write_cache_ = !text.ok();
  const bool is_timings = text.ok() && tune::TimingCache::IsOne(*text);
  if (is_timings && !Tunes(*options)) {
    return InvalidArgument(fmt::format(
        "--timingCacheFile: '{}' holds times of tactics, which only a build that tunes reads; add "
        "--tune, or name a lockfile",
        timing_cache_));
  }
  keep_timings_ = is_timings || (!text.ok() && Tunes(*options));
  if (is_timings) {
    options->timings = std::move(*text);
  } else if (text.ok()) {
    options->lockfile = std::move(*text);
  }
  return OkStatus();
}

Status TrtexecBuildOptions::Finish(const compiler::BuildResult& built) const {
  const uint64_t workspace = built.plan->workspace_bytes;
  if (workspace_limit_bytes_ && workspace > *workspace_limit_bytes_) {
    return ResourceExhausted(
        fmt::format("the plan needs {} bytes of workspace, --memPoolSize allows {}; raise it, or "
                    "build for smaller shapes",
                    workspace, *workspace_limit_bytes_));
  }
  if (keep_timings_) return WriteFileAtomically(timing_cache_, std::string_view(built.timings));
  if (!write_cache_) return OkStatus();
  return WriteFileAtomically(timing_cache_, std::string_view(built.lockfile));
}

}  // namespace fusee::cli
