// fusee conform: every test case below a folder, the whole way, each in a guarded child process.
#include <fmt/format.h>
#include <fnmatch.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <array>
#include <cstdio>

#include "base/file.h"
#include "cli/command.h"
#include "cli/conform_case.h"
#include "cli/conform_table.h"
#include "cli/device_choice.h"
#include "cli/guarded.h"
#include "device/cpu_limits.h"
#include "tensor/compare.h"

namespace fusee::cli {
namespace {

struct Row {
  std::string name;
  CaseOutcome outcome;
  double seconds = 0;
};

using Counts = std::array<size_t, 4>;  // by Verdict

std::string CountsText(const Counts& n) {
  return fmt::format("{} passed, {} refused, {} wrong, {} crashed", n[0], n[1], n[2], n[3]);
}

std::string ReportJson(const std::vector<Row>& rows, const Counts& counts) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> w(buffer);
  w.SetIndent(' ', 1);
  w.StartObject();
  for (size_t v = 0; v < counts.size(); ++v) {
    w.Key(VerdictName(static_cast<Verdict>(v)).data());
    w.Uint64(counts[v]);
  }
  w.Key("cases");
  w.StartArray();
  for (const Row& row : rows) {
    w.StartObject();
    w.Key("name");
    w.String(row.name.c_str());
    w.Key("verdict");
    w.String(VerdictName(row.outcome.verdict).data());
    w.Key("message");
    w.String(row.outcome.message.c_str());
    w.Key("seconds");
    w.Double(row.seconds);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

class ConformCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("dir", dir_,
                   "folder with cases: CASE/model.onnx, CASE/test_data_set_N/{input,output}_K.pb")
        ->required();
    app.add_option("--filter", filter_,
                   "only cases whose name matches this glob, as in 'test_conv*'");
    app.add_option("--subset", subset_,
                   "only the cases of S1 or S2, for which other runtimes' results are known (see "
                   "docs/conformance.md)")
        ->check(CLI::IsMember({"S1", "S2"}));
    app.add_option("--table", table_,
                   "write passed, refused and why, by operator and opset, to this file (Markdown)");
    app.add_option("--report", report_,
                   "write verdict, message and seconds of every case to this file (JSON)");
    app.add_option("--jobs", jobs_, "cases at once; 0: one per usable core")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--timeout", timeout_s_, "seconds a case may take")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_flag("--reference-tactics", options_.reference_tactics,
                 "every step by its plain reference kernel");
    app.add_flag("--verify", options_.verify,
                 "also verify every plan against the reference, as fusee build does");
    app.add_option("--disable-pass", options_.disabled_passes,
                   "a pass not to run; repeat for several")
        ->allow_extra_args(false);
    app.add_option("--device", options_.device,
                   "cpu, cuda or cuda:N: where cases are built for and run; on a GPU a case with a "
                   "step that no kernel there takes is refused")
        ->capture_default_str();
    app.add_flag("--allow-cpu-steps", options_.allow_cpu_steps,
                 "with --device cuda: such steps run on the CPU inside the plan");
    app.add_flag("--verbose", verbose_, "print every case, not only those wrong or crashed");
    app.add_flag("--json", json_, "print the report as JSON instead of lines");
    app.footer(
        "Verdicts: passed; refused (the importer names what it does not support); wrong; crashed "
        "(died or hung).\n"
        "Exit code 0 when nothing is wrong or crashed, else 7.\n"
        "Examples:\n"
        "  fusee conform corpora/onnx/node\n"
        "  fusee conform corpora/onnx/node --filter 'test_softmax*' --verbose\n"
        "  fusee conform corpora/onnx/node --subset S1\n"
        "  fusee conform corpora/golden --report golden.json\n"
        "  fusee conform corpora/onnx/node --device cuda --jobs 8");
  }

  Result<ExitCode> Run() override {
    if (const Status status = CheckDeviceName(options_.device); !status.ok())
      return PrintUsageError(status, json_);
    FUSEE_TRY(std::vector<ConformCase> cases, FindCases(dir_));
    if (!filter_.empty()) {
      std::erase_if(cases, [&](const ConformCase& c) {
        return ::fnmatch(filter_.c_str(), c.name.c_str(), 0) != 0;
      });
    }
    if (const auto subset = ParseSubset(subset_); subset) {
      std::erase_if(cases, [&](const ConformCase& c) { return !FactsOf(c).In(*subset); });
    }
    if (cases.empty()) {
      const bool chosen = !filter_.empty() || !subset_.empty();
      return NotFound(fmt::format("no cases below '{}'{}", dir_, chosen ? " match" : ""));
    }
    PrintTolerances();
    options_.measure = false;
    const int cores = UsableCpus();
    GuardOptions guard;
    guard.jobs =
        jobs_ > 0 ? jobs_ : std::max(1, std::min<int>(cores, static_cast<int>(cases.size())));
    guard.timeout = std::chrono::seconds(timeout_s_);
    // A driver maps addresses for all of its device's memory.
    if (options_.device != DeviceKindName(DeviceKind::kCpu)) guard.memory_bytes = 0;
    options_.threads = std::max(1, cores / guard.jobs);
    rows_.resize(cases.size());
    FUSEE_TRY(RunGuarded(
        cases.size(), guard,
        [&](size_t i) {
          const CaseOutcome outcome = RunCase(cases[i], options_);
          return std::string(1, static_cast<char>('0' + static_cast<int>(outcome.verdict))) +
                 outcome.message;
        },
        [&](size_t i, const GuardedResult& result) { Record(cases[i].name, i, result); }));
    if (!report_.empty())
      FUSEE_TRY(WriteFileAtomically(report_, std::string_view(ReportJson(rows_, counts_))));
    if (!table_.empty()) FUSEE_TRY(WriteTable(cases));
    if (json_) {
      std::fputs(ReportJson(rows_, counts_).c_str(), stdout);
    } else {
      if (!subset_.empty()) fmt::print("{}: {} of {} passed\n", subset_, counts_[0], rows_.size());
      fmt::print("{}\n", CountsText(counts_));
    }
    return counts_[2] + counts_[3] == 0 ? ExitCode::kOk : ExitCode::kVerificationFailed;
  }

 private:
  Status WriteTable(const std::vector<ConformCase>& cases) const {
    std::vector<TableRow> table;
    table.reserve(cases.size());
    for (size_t i = 0; i < cases.size(); ++i)
      table.push_back({FactsOf(cases[i]), rows_[i].outcome});
    return WriteFileAtomically(table_, std::string_view(ConformanceTable(table)));
  }

  void PrintTolerances() const {
    if (json_) return;
    const Tolerance full = DefaultTolerance(DType::kF32);
    const Tolerance half = DefaultTolerance(DType::kF16);
    fmt::print(
        "tolerances: |got - want| <= atol + rtol * |want|; rtol {} atol {}; f16 and bf16: rtol {} "
        "atol {}; integers exact\n",
        full.rtol, full.atol, half.rtol, half.atol);
    std::fflush(stdout);
  }

  void Record(const std::string& name, size_t i, const GuardedResult& result) {
    Row& row = rows_[i];
    row.name = name;
    row.seconds = result.seconds;
    if (result.finished && !result.answer.empty()) {
      row.outcome.verdict = static_cast<Verdict>(result.answer[0] - '0');
      row.outcome.message = result.answer.substr(1);
    } else {
      row.outcome = {Verdict::kCrashed, result.death};
    }
    ++counts_[static_cast<size_t>(row.outcome.verdict)];
    const bool bad = row.outcome.verdict >= Verdict::kWrong;
    if (!json_ && (bad || verbose_)) {
      fmt::print("{:<8} {}{}{}\n", VerdictName(row.outcome.verdict), name,
                 row.outcome.message.empty() ? "" : ": ", row.outcome.message);
      std::fflush(stdout);
    }
    const TimePoint now = SteadyClock().Now();
    if (now - last_progress_ > std::chrono::seconds(2)) {
      last_progress_ = now;
      const size_t finished = counts_[0] + counts_[1] + counts_[2] + counts_[3];
      fmt::print(stderr, "fusee conform: {}/{}: {}\n", finished, rows_.size(), CountsText(counts_));
    }
  }

  static compiler::BuildOptions DefaultOptions() {
    compiler::BuildOptions options;
    options.verify = false;  // the case brings its own answers
    options.tune = false;    // each is built for one run
    return options;
  }

  std::string dir_, filter_, report_, subset_, table_;
  int jobs_ = 0;
  int timeout_s_ = 300;
  compiler::BuildOptions options_ = DefaultOptions();
  bool json_ = false, verbose_ = false;
  std::vector<Row> rows_;
  Counts counts_{};
  TimePoint last_progress_ = SteadyClock().Now();
};

}  // namespace

std::unique_ptr<Command> Make_conform() { return std::make_unique<ConformCommand>(); }

}  // namespace fusee::cli
