// trtexec's options of a build that are about what it may use and keep, and about the types and
// layouts of inputs and outputs and the use of TF32: shared by `fusee build` and `fusee bench
// --onnx`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "compiler/build.h"

namespace fusee::cli {

class TrtexecBuildOptions {
 public:
  // needs: an option without which these have no effect, or null.
  void Add(CLI::App& app, CLI::Option* needs = nullptr);

  // Reads the formats, and the cache into options->lockfile when its file exists. options->device
  // is set. Errors: kInvalidArgument (a malformed pool size or format, TF32 for the CPU, or both
  // the cache and another lockfile), kUnavailable (the file).
  Status Prepare(compiler::BuildOptions* options);
  // Does a build with these options time tactics?
  static bool Tunes(const compiler::BuildOptions& options);
  // True when the cache is to be written, which takes a build that measures.
  bool writes_cache() const { return write_cache_; }
  // Checks the limit, writes the cache. Errors: kResourceExhausted naming both sizes, kUnavailable.
  Status Finish(const compiler::BuildResult& built) const;

 private:
  std::string timing_cache_, memory_pools_, input_formats_, output_formats_;
  bool allow_tf32_ = false, no_tf32_ = false;
  std::optional<uint64_t> workspace_limit_bytes_;
  bool write_cache_ = false;   // the lockfile, when there was no file
  bool keep_timings_ = false;  // times of tactics, old and new
};

}  // namespace fusee::cli
