// fusee verify: does a finished plan still give what it gave when it was verified, and what its
// model says?
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/clock.h"
#include "base/digest.h"
#include "cli/command.h"
#include "cli/device_choice.h"
#include "cli/json_text.h"
#include "cli/plan_file.h"
#include "compiler/reference.h"
#include "compiler/verify.h"
#include "device/thread_pool.h"
#include "ops/module.h"
#include "plan/print.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::cli {
namespace {

class VerifyCommand final : public Command {
 public:
  void AddOptions(CLI::App& app) override {
    app.add_option("plan,--plan,--loadEngine", plan_file_, "the plan")->required();
    CLI::Option* model = app.add_option(
        "--onnx", model_, "the model it was built from: compare with the reference kernels again");
    app.add_option("--verify-budget", budget_s_,
                   "seconds after which no further comparison is started")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str()
        ->needs(model);
    app.add_option("--threads", threads_, "threads to use; 0: all this process may")
        ->check(CLI::Range(0, ThreadPool::kMaxWidth));
    app.add_option("--device", device_name_, kDeviceHelp);
    app.add_flag("--json", json_, "print as JSON");
    app.footer(
        "Checks every digest, runs the plan's golden inputs again and compares the bits; with "
        "--onnx also\n"
        "compares with the reference kernels at the profile's corners. Exit code 6 when the plan "
        "is damaged or\n"
        "does not fit this machine, 7 when it gives something else.\n"
        "Examples:\n"
        "  fusee verify digits.plan\n"
        "  fusee verify digits.plan --onnx digits.onnx\n"
        "  fusee verify digits.cuda.plan --device cuda:1");
  }

  Result<ExitCode> Run() override {
    ThreadPool pool({.width = threads_});
    runtime::LoadOptions load;
    load.replay_golden = false;  // done below, where a difference is a finding and not a load error
    load.parallel = &pool;
    if (device_name_.empty()) {
      auto header = ReadPlanHeader(plan_file_);
      device_name_ = header.ok() ? header->device : "cpu";  // loading says what is wrong with it
    }
    auto opened = ops::OpenDevice(device_name_);
    if (!opened.ok()) return PrintUsageError(opened.status(), json_);
    load.device = opened->device.get();
    load.kernels = opened->kernels;
    auto loaded = runtime::LoadedPlan::Load(plan_file_, load);
    if (!loaded.ok()) return PrintPlanError(loaded.status(), json_);
    FUSEE_TRY(plan::Header header, ReadPlanHeader(plan_file_));
    const plan::Certificate& certificate = (*loaded)->plan().certificate;
    if (!certificate.verified && model_.empty()) {
      return FailedPrecondition(
          fmt::format("'{}' was never verified ({}), so it holds nothing to compare with; give its "
                      "model with --onnx",
                      plan_file_, certificate.reason));
    }
    const Status golden = runtime::ReplayGolden(*loaded, &pool);
    if (!golden.ok() && golden.code() != StatusCode::kFailedPrecondition) return golden;
    std::optional<compiler::VerifyOutcome> outcome;
    if (!model_.empty())
      FUSEE_TRY_STATUS(CompareWithModel(*loaded, &pool, {load.device, load.kernels}, &outcome));
    const bool same = golden.ok() && (!outcome || outcome->passed);
    json_ ? PrintJson(header, certificate, golden, outcome, same)
          : PrintText(header, certificate, golden, outcome, same);
    return same ? ExitCode::kOk : ExitCode::kVerificationFailed;
  }

 private:
  Status CompareWithModel(const std::shared_ptr<const runtime::LoadedPlan>& loaded, Parallel* pool,
                          const compiler::RunTarget& where,
                          std::optional<compiler::VerifyOutcome>* outcome) {
    FUSEE_TRY(plan::Plan reference, compiler::ReferenceFor(loaded->plan(), model_));
    FUSEE_TRY(*outcome,
              compiler::VerifyPlan({loaded, &loaded->plan()},
                                   std::make_shared<const plan::Plan>(std::move(reference)),
                                   budget_s_, SteadyClock(), pool, where));
    return OkStatus();
  }

  static std::string ReferenceText(const compiler::VerifyOutcome& outcome) {
    if (!outcome.passed) return outcome.failure;
    std::string text = fmt::format("{} comparisons, {}", outcome.corners.size(),
                                   plan::WorstErrorText(outcome.corners));
    if (outcome.skipped > 0)
      text += fmt::format(", {} not started within the budget", outcome.skipped);
    text += outcome.batch_checked ? "; a row's bits do not depend on the batch"
                                  : "; batch rows not checked: " + outcome.batch_note;
    return text;
  }

  void PrintText(const plan::Header& header, const plan::Certificate& certificate,
                 const Status& golden, const std::optional<compiler::VerifyOutcome>& outcome,
                 bool same) const {
    fmt::print("plan       {} of model '{}', file digest {}\n", plan_file_, header.model_name,
               ToHex(header.file_digest));
    fmt::print("digests    ok: {} bytes in {} sections\n", header.file_bytes,
               header.sections.size());
    if (!golden.ok()) {
      fmt::print("golden     DIFFERENT: {}\n", golden.message());
    } else {
      fmt::print("golden     {}\n", certificate.golden.empty()
                                        ? std::string("none in this plan")
                                        : fmt::format("{0} of {0} points give the recorded bits",
                                                      certificate.golden.size()));
    }
    if (outcome)
      fmt::print("reference  {}{}\n",
                 outcome->passed ? "" : "DIFFERENT: ", ReferenceText(*outcome));
    const bool part = outcome && !outcome->to_sample.empty();
    fmt::print("verdict    {}\n", !same ? "DIFFERENT"
                                  : part
                                      ? "verified in part: some corners were not compared; raise "
                                        "--verify-budget, or rebuild, which goes step by step"
                                      : "verified");
  }

  void PrintJson(const plan::Header& header, const plan::Certificate& certificate,
                 const Status& golden, const std::optional<compiler::VerifyOutcome>& outcome,
                 bool same) const {
    JsonText json;
    json.Object().Field("plan", plan_file_).Field("model", header.model_name);
    json.Field("file_digest", ToHex(header.file_digest)).Field("verified", same);
    json.Object("golden").Field("points", certificate.golden.size()).Field("passed", golden.ok());
    if (!golden.ok()) json.Field("difference", golden.message());
    json.EndObject();
    if (outcome) PutOutcome(*outcome, &json);
    json.EndObject();
    json.Print();
  }

  static void PutOutcome(const compiler::VerifyOutcome& outcome, JsonText* json) {
    json->Object("reference").Field("passed", outcome.passed).Field("skipped", outcome.skipped);
    if (!outcome.passed) json->Field("difference", outcome.failure);
    json->Field("max_abs_error", plan::WorstAbsError(outcome.corners));
    json->Field("batch_checked", outcome.batch_checked)
        .Field("batch_invariant", outcome.batch_invariant);
    json->Array("comparisons");
    for (const plan::VerifiedCorner& c : outcome.corners) {
      json->Object().Field("output", c.output).Field("fill", compiler::FillName(c.fill));
      json->Array("symbol_values");
      for (int64_t v : c.symbol_values) json->Value(v);
      json->EndArray();
      json->Field("elements", c.elements).Field("sampled", c.sampled);
      json->Field("max_abs_error", c.max_abs_error)
          .Field("max_rel_error", c.max_rel_error)
          .Field("max_abs_value", c.max_abs_value)
          .EndObject();
    }
    json->EndArray().EndObject();
  }

  std::string plan_file_, model_, device_name_;
  double budget_s_ = 30;
  int threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> Make_verify() { return std::make_unique<VerifyCommand>(); }

}  // namespace fusee::cli
