// What the process boundary costs: one batch of the digits plan from Execute to OnBatchDone, in
// this process and in a worker process, on the same plan with the same number of threads.
//
//   process_boundary_bench examples/digits/digits.onnx
//
// The two are measured in turn, batch by batch, so that a noisy machine is equally noisy to both.
// added_p50_us is the figure that the project promises to keep below 300.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <future>

#include "base/file.h"
#include "base/log.h"
#include "cli/own_folder.h"
#include "compiler/build.h"
#include "device/thread_pool.h"
#include "server/supervisor.h"
#include "worker/in_process_executor.h"

namespace fusee {
namespace {

constexpr int kWarmUp = 200;
std::string model_path = "examples/digits/digits.onnx";

template <typename T>
T Must(Result<T> result) {
  FUSEE_CHECK(result.ok(), result.status().message().c_str());
  return std::move(result).value();
}

class Waiter final : public ipc::BatchListener {
 public:
  void OnBatchDone(ipc::BatchResult result) override {
    end_ = SteadyClock().Now();
    promise_.set_value(std::move(result));
  }
  TimePoint Wait() {
    FUSEE_CHECK(promise_.get_future().get().status.ok(), "a batch failed");
    return end_;
  }

 private:
  TimePoint end_;
  std::promise<ipc::BatchResult> promise_;
};

class Nobody final : public server::FleetListener {
 public:
  void OnDeviceReady(size_t, std::vector<const ipc::Model*>) override {}
  void OnDeviceLost(size_t) override {}
  void OnModelArrived(size_t, server::KindModel) override {}
};

// One device with the model on it, and a request of `rows` images in its memory.
struct Side {
  server::Fleet* fleet;
  std::shared_ptr<const ipc::Model> model;
  ipc::Block in, out;
  ConstTensorView input;
  TensorView output;
  ipc::BatchItem item;

  Side(server::Fleet* f, const std::string& plan, server::FleetListener* listener,
       obs::Registry* registry, int64_t rows)
      : fleet(f) {
    fleet->Attach(listener, registry);
    const server::ModelSource source{.name = "digits", .version = 1, .plans = {{"cpu", plan}}};
    fleet->LoadAll({&source, 1}, [&](size_t, std::vector<server::KindModel> kinds) {
      model = Must(std::move(kinds[0].model));
      return true;
    });
    input = {DType::kF32, Shape{rows, 1, 8, 8}, nullptr};
    output = {DType::kF32, Shape{rows, 10}, nullptr};
    const ipc::RequestMemory memory = fleet->request_memory();
    in = memory.inputs->Take(static_cast<size_t>(input.size_bytes()));
    out = memory.outputs->Take(static_cast<size_t>(output.size_bytes()));
    std::memset(in.data(), 0, static_cast<size_t>(input.size_bytes()));
    input.data = in.data();
    output.data = out.data();
    item = {.inputs = {&input, 1}, .outputs = {&output, 1}};
  }

  double RunUs(uint64_t id) {
    Waiter waiter;
    const TimePoint start = SteadyClock().Now();
    fleet->Execute(0, {.id = id, .model = model.get(), .items = {&item, 1}}, &waiter);
    return static_cast<double>((waiter.Wait() - start).count()) * 1e-3;
  }
};

double Quantile(std::vector<double>& values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void BM_ProcessBoundary(benchmark::State& state) {
  const int64_t rows = state.range(0);
  spdlog::set_level(spdlog::level::off);
  compiler::BuildOptions build{.measure = false};
  build.profiles["image"].shapes = {{1, 1, 8, 8}, {8, 1, 8, 8}, {32, 1, 8, 8}};
  const std::string plan =
      (std::filesystem::temp_directory_path() / fmt::format("boundary_{}.plan", getpid())).string();
  const compiler::BuildResult built = Must(compiler::Build(model_path, build));
  FUSEE_CHECK(WriteFileAtomically(plan, built.bytes).ok(), "writing the plan");

  Nobody listener;
  obs::Registry registry;
  ThreadPool pool({.width = 1});
  worker::InProcessExecutor executor({.parallel = &pool});
  server::SingleDevice here(&executor);
  const auto supervisor = Must(server::Supervisor::Create(
      {.worker_path = Must(cli::CompanionPath("fusee-worker")),
       .devices = {{{"cpu:0", "cpu"}, "cpu", server::LimitsFor("cpu"), ""}},
       .threads = 1,
       .slab_bytes = 16 << 20},
      &SteadyClock()));
  Side inside(&here, plan, &listener, &registry, rows);
  Side outside(supervisor.get(), plan, &listener, &registry, rows);
  std::filesystem::remove(plan);

  std::vector<double> in_us, out_us;
  uint64_t id = 0;
  for (int i = 0; i < kWarmUp; ++i) {
    inside.RunUs(++id);
    outside.RunUs(++id);
  }
  for (auto _ : state) {
    in_us.push_back(inside.RunUs(++id));
    out_us.push_back(outside.RunUs(++id));
    state.SetIterationTime(out_us.back() * 1e-6);
  }
  FUSEE_CHECK(std::memcmp(inside.out.data(), outside.out.data(),
                          static_cast<size_t>(inside.output.size_bytes())) == 0,
              "the two sides answer differently");
  const double in_p50 = Quantile(in_us, 0.5), out_p50 = Quantile(out_us, 0.5);
  state.counters["in_process_p50_us"] = in_p50;
  state.counters["worker_p50_us"] = out_p50;
  state.counters["added_p50_us"] = out_p50 - in_p50;
  state.counters["in_process_p99_us"] = Quantile(in_us, 0.99);
  state.counters["worker_p99_us"] = Quantile(out_us, 0.99);
  supervisor->Shutdown();
}
BENCHMARK(BM_ProcessBoundary)->Arg(1)->Arg(8)->Arg(32)->UseManualTime()->Iterations(5000);

}  // namespace
}  // namespace fusee

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc > 1) fusee::model_path = argv[1];
  benchmark::RunSpecifiedBenchmarks();
}
