// fusee doctor: what this machine offers, what is bad for latency, and the remedy.
#include <fmt/format.h>

#include <cstdio>

#include "base/clock.h"
#include "cli/allocation_counter.h"
#include "cli/canary.h"
#include "cli/command.h"
#include "cli/examine_cuda.h"
#include "cli/host.h"
#include "cli/json_text.h"
#include "cli/table.h"
#include "compiler/build.h"
#include "plan/plan.h"

namespace fusee::cli {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

class DoctorCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("--canary", canary_samples_, "times to run the 1 ms noise canary; 0: not at all")
        ->check(CLI::Range(0, 60'000))
        ->capture_default_str();
    app.add_flag("--json", json_, "print as JSON");
    app.footer(
        "Exit code 0 also with warnings; 1 when something makes Fusee unusable here.\n"
        "Examples:\n"
        "  fusee doctor\n"
        "  fusee doctor --canary 5000 --json");
  }

  Result<ExitCode> Run() override {
    Canary canary(SteadyClock(), static_cast<size_t>(canary_samples_));
    for (int i = 0; i < canary_samples_; ++i) canary.Sample();
    const Distribution times = canary.Times();
    std::vector<Examined> list = Examine(ReadHost(), times.Percentile(50), CanaryRatio(times));
    for (Examined& e : ExamineCuda()) list.push_back(std::move(e));
    Health worst = Health::kOk;
    for (const Examined& e : list) worst = std::max(worst, e.health);
    json_ ? PrintJson(list, times, worst) : PrintText(list);
    return worst == Health::kBad ? ExitCode::kError : ExitCode::kOk;
  }

 private:
  static void PrintText(const std::vector<Examined>& list) {
    fmt::print("fusee {} (plan format {}, {})\n", compiler::BuilderVersion(), plan::kFormatVersion,
               kCompiler);
    Table table({"", "", ""});
    table.LeftFrom(1);
    for (const Examined& e : list) {
      table.Row(
          {e.name, e.health == Health::kOk ? "" : std::string(HealthName(e.health)), e.value});
    }
    std::fputs(table.Text().substr(1).c_str(), stdout);
    bool first = true;
    for (const Examined& e : list) {
      if (e.health == Health::kOk) continue;
      if (first) fmt::print("\n");
      first = false;
      fmt::print("{}: {}: {}\n", HealthName(e.health), e.name, e.effect);
    }
  }

  static void PrintJson(const std::vector<Examined>& list, const Distribution& times,
                        Health worst) {
    JsonText json;
    json.Object();
    json.Object("build")
        .Field("version", compiler::BuilderVersion())
        .Field("plan_format", plan::kFormatVersion);
    json.Field("compiler", kCompiler).Field("sanitized", HeapIsSanitized()).EndObject();
    json.Field("health", HealthName(worst));
    json.Array("examined");
    for (const Examined& e : list) {
      json.Object()
          .Field("name", e.name)
          .Field("value", e.value)
          .Field("health", HealthName(e.health));
      if (!e.effect.empty()) json.Field("effect", e.effect);
      json.EndObject();
    }
    json.EndArray();
    json.Object("canary").Field("samples", times.count()).Field("min_ms", times.min_ms());
    json.Field("p50_ms", times.Percentile(50)).Field("p99_ms", times.Percentile(99));
    json.Field("max_ms", times.max_ms()).Field("p99_over_p50", CanaryRatio(times)).EndObject();
    json.EndObject();
    json.Print();
  }

  int canary_samples_ = 200;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_doctor() { return std::make_unique<DoctorCommand>(); }

}  // namespace fusee::cli
