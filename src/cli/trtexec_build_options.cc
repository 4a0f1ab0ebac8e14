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
  CLI::Option* inputs = app.add_option(
      "--input-formats,--inputIOFormats", input_formats_,
      prefix +
          "TYPE:FORMAT[,TYPE:FORMAT...], one for each input in the model's order, or one for all: "
          "how the plan takes them (for example --inputIOFormats=fp16:hwc,int64:chw). TYPE is "
          "fp32, "
          "fp16 or bf16, or the model's own for integers and bool; FORMAT is chw (the model's "
          "order of axes) or hwc (channels last; hwc8 is the same, without padding). Default: as "
          "the "
          "model declares them. Shape profiles keep to the model's order");
  CLI::Option* outputs =
      app.add_option("--output-formats,--outputIOFormats", output_formats_,
                     prefix + "the same for outputs (for example --outputIOFormats=fp16:chw)");
  CLI::Option* allow = app.add_flag(
      "--allow-tf32", allow_tf32_,
      prefix +
          "with --device cuda: matrix products and convolutions that compute in fp32 may round "
          "their operands to TF32 (10 bits of fraction) for tensor cores; sums stay fp32. The plan "
          "shows it on every such step. Default: they may not");
  CLI::Option* refuse =
      app.add_flag("--noTF32", no_tf32_, prefix + "trtexec: no TF32, which is the default here")
          ->excludes(allow);
  if (needs != nullptr) {
    for (CLI::Option* option : {cache, pools, inputs, outputs, allow, refuse}) option->needs(needs);
  }
}

bool TrtexecBuildOptions::Tunes(const compiler::BuildOptions& options) {
  return options.tune.value_or(options.device != "cpu");
}

Status TrtexecBuildOptions::Prepare(compiler::BuildOptions* options) {
  if (!memory_pools_.empty()) {
    FUSEE_TRY(workspace_limit_bytes_, ParseMemPoolSize(memory_pools_));
  }
  const auto read = [](const std::string& text, std::string_view option,
                       std::vector<compiler::IoFormat>* formats) -> Status {
    if (text.empty()) return OkStatus();
    auto parsed = compiler::ParseIoFormats(text);
    if (!parsed.ok()) return std::move(parsed).status().Annotate(option);
    *formats = std::move(*parsed);
    return OkStatus();
  };
  FUSEE_TRY(read(input_formats_, "--inputIOFormats", &options->input_formats));
  FUSEE_TRY(read(output_formats_, "--outputIOFormats", &options->output_formats));
  options->allow_tf32 = allow_tf32_;
  if (allow_tf32_ && options->device == "cpu") {
    return InvalidArgument(
        "--allow-tf32 has no effect on a plan for the CPU; leave it out, or add --device cuda");
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
