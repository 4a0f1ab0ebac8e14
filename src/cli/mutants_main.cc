// mutants: damaged models through import, build (reference tactics) and run, each in a guarded
// child. Nothing may die, hang or take more memory than it is given.
//
//   mutants FOLDER [--blind N] [--aware N] [--first I] [--fast] [--verbose] [--jobs N]
//           [--timeout S] [--keep FOLDER]
//
// FOLDER: cases in ONNX's layout (`fusee conform`). Mutant i damages model i % models with seed i,
// and asks for the shapes of the smallest data set. A finding is printed with its number:
// --first I --aware 1 runs it again. With --keep the damaged models that were findings are written
// there. Exit code 0: no findings.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "base/descriptor.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/conform_case.h"
#include "cli/guarded.h"
#include "compiler/build.h"
#include "compiler/import.h"
#include "device/cpu_limits.h"
#include "device/thread_pool.h"
#include "onnx/model.h"
#include "onnx/mutator_test_util.h"
#include "plan/dims.h"
#include "runtime/runtime.h"

namespace fusee::cli {
namespace {

// Address space of a child; what the process has mapped before counts too.
constexpr uint64_t kChildBytes = uint64_t{2} << 30;
// What importing may take beside the mapped file: a fifth of it plus this.
constexpr int64_t kImportSlackBytes = int64_t{64} << 20;
// Steps whose elements to compute are more than this are built, but not run: a model may ask for
// any amount of work, and a reference kernel does it one element after the other.
constexpr double kMaxWork = 1e8;

struct Subject {
  std::string name;
  std::string bytes;
  std::map<std::string, Tensor> inputs;  // of the smallest data set
};

Result<Subject> ReadSubject(const ConformCase& test) {
  Subject subject{test.name, {}, {}};
  FUSEE_TRY(subject.bytes, ReadSmallFile(test.model));
  FUSEE_TRY(auto model, onnx::Load(test.model));
  int64_t least = INT64_MAX;
  for (const std::string& folder : test.data_sets) {
    std::map<std::string, Tensor> inputs;
    int64_t bytes = 0;
    size_t index = 0;
    for (const onnx::ValueDecl& decl : model->graph.inputs) {
      const bool initialised = std::ranges::any_of(
          model->graph.initializers, [&](const onnx::TensorRef& t) { return t.name == decl.name; });
      if (initialised) continue;
      auto tensor = onnx::LoadTensorFile(fmt::format("{}/input_{}.pb", folder, index++));
      if (!tensor.ok()) continue;
      bytes += tensor->view().size_bytes();
      inputs.emplace(std::string(decl.name), std::move(tensor).value());
    }
    if (bytes < least) {
      least = bytes;
      subject.inputs = std::move(inputs);
    }
  }
  return subject;
}

int64_t PeakBytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

// Multiplications and additions of all steps: the right order of magnitude, no more.
Result<double> Work(const plan::Plan& plan) {
  std::vector<int64_t> dims(plan.dims.size());
  FUSEE_TRY(
      plan::EvaluateDims(plan.dims, plan::SymbolValues(plan, plan::ProfilePoint::kOpt), dims));
  double total = 0;
  for (const plan::Step& step : plan.steps) {
    double results = 0, read = 0, depth = 1;
    for (const uint32_t id : step.outputs) {
      if (id == plan::kNoTensor) continue;
      FUSEE_TRY(const Shape shape, plan::ShapeOf(plan.tensors[id], dims));
      results += static_cast<double>(shape.elements());
    }
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] == plan::kNoTensor) continue;
      FUSEE_TRY(const Shape shape, plan::ShapeOf(plan.tensors[step.inputs[i]], dims));
      const auto elements = static_cast<double>(shape.elements());
      read += elements;
      // What one result sums over: a filter, or a row.
      const bool filter = i == 1 && step.op.starts_with("Conv") && shape.rank() > 0;
      const bool row = i == 0 && (step.op == "MatMul" || step.op == "Gemm") && shape.rank() > 0;
      if (filter) depth = elements / std::max<double>(1, static_cast<double>(shape[0]));
      if (row) depth = static_cast<double>(shape[shape.rank() - 1]);
    }
    const auto window = step.attrs.Ints("kernel_shape");
    if (step.op.ends_with("Pool") && window.ok()) {
      for (const int64_t k : *window) depth *= static_cast<double>(k);
    }
    total += results * depth + read;
  }
  return total;
}

// The first word is the verdict: refused (a Status), ran, large (built, not run), memory.
std::string RunMutant(const Subject& subject, const std::string& bytes, bool fast) {
  Descriptor file(::memfd_create("mutant", MFD_CLOEXEC));
  if (file.get() < 0 || ::ftruncate(file.get(), 0) != 0) return "setup: no memfd";
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t n = ::write(file.get(), left.data(), left.size());
    if (n <= 0) return "setup: cannot write the memfd";
    left.remove_prefix(static_cast<size_t>(n));
  }
  const std::string path = fmt::format("/proc/self/fd/{}", file.get());

  compiler::BuildOptions options;
  options.verify = options.measure = options.tune.emplace() = false;
  options.reference_tactics = !fast;
  options.threads = 1;
  for (const auto& [name, tensor] : subject.inputs) {
    const auto dims = tensor.shape().dims();
    options.profiles[name].shapes = {std::vector<int64_t>(dims.begin(), dims.end())};
    options.pin_if_needed[name] = tensor;
  }
  const int64_t before = PeakBytes();
  {
    auto model = onnx::Load(path);
    if (!model.ok()) return "refused: " + model.status().ToString();
    // Inputs that the damage renamed or dropped have no profile.
    std::erase_if(options.profiles, [&](const auto& p) {
      return std::ranges::none_of((*model)->graph.inputs,
                                  [&](const onnx::ValueDecl& d) { return d.name == p.first; });
    });
    auto imported = compiler::Import(**model, options);
    const int64_t grown = PeakBytes() - before;
    if (grown > static_cast<int64_t>(bytes.size()) * 6 / 5 + kImportSlackBytes)
      return fmt::format("memory: importing {} bytes took {} bytes", bytes.size(), grown);
    if (!imported.ok()) return "refused: " + imported.status().ToString();
  }
  auto built = compiler::Build(path, options);
  if (!built.ok()) return "refused: " + built.status().ToString();
  auto plan = runtime::LoadedPlan::FromBytes(built->bytes, nullptr);
  if (!plan.ok()) return "refused: " + plan.status().ToString();
  const auto work = Work((*plan)->plan());
  if (!work.ok()) return "refused: " + work.status().ToString();
  if (*work > kMaxWork) return "large: built, not run";
  ThreadPool pool({.width = 1});
  auto context = runtime::Context::Create(*plan, {.parallel = &pool});
  if (!context.ok()) return "refused: " + context.status().ToString();
  for (const auto& [name, tensor] : subject.inputs) {
    const auto index = (*plan)->FindInput(name);
    if (!index) continue;
    Status status = (*context)->SetInputShape(*index, tensor.shape());
    if (status.ok())
      status = (*context)->BindInput(*index, tensor.bytes().data(), tensor.bytes().size());
    if (!status.ok()) return "refused: " + status.ToString();
  }
  const Status ran = (*context)->Run();
  return ran.ok() ? "ran" : "refused: " + ran.ToString();
}

struct Options {
  std::string folder, keep;
  size_t blind = 60, aware = 120, first = 0;
  int jobs = 0, timeout_s = 5;
  bool fast = false, verbose = false;
};

Status Sweep(const Options& options, const std::vector<Subject>& subjects, bool aware, size_t count,
             size_t* findings) {
  const char* kind = aware ? "aware" : "blind";
  const auto mutant = [&](size_t i) {
    const uint64_t seed = options.first + i;
    const Subject& subject = subjects[seed % subjects.size()];
    return aware ? onnx::MutateModel(subject.bytes, seed) : onnx::MutateBytes(subject.bytes, seed);
  };
  const auto subject_of = [&](size_t i) -> const Subject& {
    return subjects[(options.first + i) % subjects.size()];
  };
  std::map<std::string, size_t> verdicts;
  double slowest = 0;
  GuardOptions guard;
  guard.jobs = options.jobs > 0 ? options.jobs : UsableCpus();
  // Processor time judges a mutant; the clock only ends one that waits for ever.
  guard.cpu_s = static_cast<uint64_t>(options.timeout_s);
  guard.timeout = std::chrono::seconds(20 * options.timeout_s);
  guard.memory_bytes = kChildBytes;
  FUSEE_TRY(RunGuarded(
      count, guard, [&](size_t i) { return RunMutant(subject_of(i), mutant(i), options.fast); },
      [&](size_t i, const GuardedResult& result) {
        slowest = std::max(slowest, result.seconds);
        const std::string word =
            result.finished ? result.answer.substr(0, result.answer.find(':')) : "died";
        ++verdicts[word];
        if (options.verbose) {
          fmt::print("{} {} {}: {}\n", kind, options.first + i, subject_of(i).name,
                     result.finished ? result.answer : result.death);
        }
        // An error of ours, on a model of theirs, is a finding as well.
        const bool internal = result.answer.starts_with("refused: INTERNAL");
        if (word == "refused" && !internal) return;
        if (word == "ran" || word == "large") return;
        ++*findings;
        fmt::print("{} mutant {} of {}: {}\n", kind, options.first + i, subject_of(i).name,
                   result.finished ? result.answer : result.death);
        std::fflush(stdout);
        if (!options.keep.empty()) {
          (void)WriteFileAtomically(
              fmt::format("{}/{}_{}.onnx", options.keep, kind, options.first + i),
              std::string_view(mutant(i)));
        }
      }));
  fmt::print("{}: {} mutants", kind, count);
  for (const auto& [word, n] : verdicts) fmt::print(", {} {}", n, word);
  fmt::print("; the slowest took {:.2f} s\n", slowest);
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Damaged models through import, build and run.", "mutants");
  app.add_option("folder", options.folder, "cases in ONNX's layout")->required();
  app.add_option("--blind", options.blind, "mutants whose bytes were changed");
  app.add_option("--aware", options.aware, "mutants whose structure was changed");
  app.add_option("--first", options.first, "number of the first mutant, which is its seed");
  app.add_option("--jobs", options.jobs, "children at once; 0: one per usable core");
  app.add_option("--timeout", options.timeout_s, "seconds of processor time a mutant may take");
  app.add_flag("--fast", options.fast, "the kernels that a build would choose, not the reference");
  app.add_flag("--verbose", options.verbose, "print every mutant's verdict");
  app.add_option("--keep", options.keep, "folder for the models that were findings");
  CLI11_PARSE(app, argc, argv);
  auto cases = FindCases(options.folder);
  if (!cases.ok()) {
    PrintError(cases.status(), false);
    return 1;
  }
  std::vector<Subject> subjects;
  for (const ConformCase& test : *cases) {
    auto subject = ReadSubject(test);
    if (subject.ok()) subjects.push_back(std::move(subject).value());
  }
  if (subjects.empty()) {
    fmt::print(stderr, "error: no readable model below '{}'\n", options.folder);
    return 1;
  }
  size_t findings = 0;
  for (const bool aware : {false, true}) {
    const size_t count = aware ? options.aware : options.blind;
    const Status status = Sweep(options, subjects, aware, count, &findings);
    if (!status.ok()) {
      PrintError(status, false);
      return 1;
    }
  }
  fmt::print("{} findings\n", findings);
  return findings == 0 ? 0 : 1;
}

}  // namespace
}  // namespace fusee::cli

int main(int argc, char** argv) { return fusee::cli::Main(argc, argv); }
