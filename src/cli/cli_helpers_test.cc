// The commands' helpers: parsing, order statistics, the canary, heap counting, the timing harness,
// host facts, tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <thread>

#include "base/test_folder.h"
#include "cli/allocation_counter.h"
#include "cli/canary.h"
#include "cli/distribution.h"
#include "cli/host.h"
#include "cli/json_text.h"
#include "cli/measure.h"
#include "cli/serve_flags.h"
#include "cli/table.h"
#include "cli/tensor_io.h"

namespace fusee::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> Milliseconds(int64_t first, int64_t last) {
  std::vector<int64_t> samples;
  for (int64_t ms = first; ms <= last; ++ms) samples.push_back(ms * 1'000'000);
  return samples;
}

TEST(Distribution, NothingIsZero) {
  const Distribution none;
  EXPECT_EQ(none.count(), 0U);
  EXPECT_EQ(none.Percentile(50), 0);
  EXPECT_EQ(none.max_ms(), 0);
  EXPECT_EQ(none.mean_ms(), 0);
}

TEST(Distribution, NearestRankAtTheEdges) {
  const Distribution hundred(Milliseconds(1, 100));
  EXPECT_EQ(hundred.min_ms(), 1);
  EXPECT_EQ(hundred.Percentile(50), 50);
  EXPECT_EQ(hundred.Percentile(99), 99);
  EXPECT_EQ(hundred.Percentile(99.9), 100);
  EXPECT_EQ(hundred.max_ms(), 100);
  EXPECT_DOUBLE_EQ(hundred.mean_ms(), 50.5);
  const Distribution thousand(Milliseconds(1, 1000));
  EXPECT_EQ(thousand.Percentile(99.9),
            999);  // not 1000, which ceil of the inexact product would give
  const Distribution one(Milliseconds(7, 7));
  for (double p : {0.0, 50.0, 99.9, 100.0}) EXPECT_EQ(one.Percentile(p), 7);
}

TEST(Distribution, TailsAreRelativeToTheMedian) {
  EXPECT_EQ(Distribution().OverMedian(99.9), 0);
  EXPECT_EQ(Distribution(Milliseconds(1, 100)).OverMedian(100), 2);
  EXPECT_EQ(Distribution(Milliseconds(1, 1000)).OverMedian(99.9), 999.0 / 500);
}

TEST(Distribution, OrderOfSamplesDoesNotMatter) {
  const Distribution d({3'000'000, 1'000'000, 2'000'000});
  EXPECT_EQ(d.min_ms(), 1);
  EXPECT_EQ(d.Percentile(50), 2);
  EXPECT_EQ(d.max_ms(), 3);
  EXPECT_NEAR(d.variation(), 0.5, 1e-12);
}

TEST(Distribution, SaysWhichPercentilesTheSampleResolves) {
  EXPECT_TRUE(Distribution(Milliseconds(1, 100)).Resolves(99));
  EXPECT_FALSE(Distribution(Milliseconds(1, 99)).Resolves(99));
  EXPECT_TRUE(Distribution(Milliseconds(1, 1000)).Resolves(99.9));
  EXPECT_FALSE(Distribution(Milliseconds(1, 999)).Resolves(99.9));
  EXPECT_FALSE(Distribution().Resolves(50));
}

TEST(Canary, RatioIsP99OverMedian) {
  EXPECT_EQ(CanaryRatio(Distribution()), 0);
  std::vector<int64_t> quiet(98, 1'000'000);
  quiet.insert(quiet.end(), {3'000'000, 9'000'000});
  EXPECT_EQ(CanaryRatio(Distribution(quiet)), 3);
}

TEST(Canary, KeepsNoMoreThanItsCapacity) {
  const FakeClock clock;
  Canary canary(clock, 2);
  for (int i = 0; i < 3; ++i) canary.Sample();
  EXPECT_EQ(canary.Times().count(), 2U);
}

// Through a volatile pointer, so that the compiler cannot remove the pair of calls.
void TouchHeap(size_t bytes) {
  void* volatile block = std::malloc(bytes);
  std::free(block);
}

TEST(AllocationCounter, CountsEveryKindOfCallAndOnlyWhileCounting) {
  TouchHeap(8);
  AllocationCounter counter;
  EXPECT_EQ(counter.calls(), 0U);
  TouchHeap(100);
  EXPECT_EQ(counter.calls(), 1U);
  EXPECT_EQ(counter.bytes(), 100U);
  auto object = std::make_unique<std::array<char, 50>>();
  (*object)[0] = 1;
  EXPECT_EQ(counter.calls(), 2U);
  void* volatile aligned = std::aligned_alloc(64, 128);
  void* posix = nullptr;
  EXPECT_EQ(posix_memalign(&posix, 64, 128), 0);
  EXPECT_EQ(counter.calls(), 4U);
  void* volatile cleared = std::calloc(4, 4);
  EXPECT_EQ(counter.calls(), 5U);
  std::free(aligned);
  std::free(posix);
  std::free(cleared);
  counter.Stop();
  TouchHeap(8);
  EXPECT_EQ(counter.calls(), 5U);
}

TEST(AllocationCounter, TracesTheFirstCallsWhenAsked) {
  {
    AllocationCounter counter;
    TouchHeap(8);
    counter.Stop();
    EXPECT_TRUE(counter.traces().empty());
  }
  AllocationCounter counter(/*trace=*/true);
  EXPECT_EQ(counter.calls(), 0U) << "preparing to trace does not count";
  for (size_t i = 1; i <= AllocationCounter::kTracesMax + 2; ++i) TouchHeap(8 * i);
  counter.Stop();
  EXPECT_EQ(counter.calls(), AllocationCounter::kTracesMax + 2) << "nor does tracing";
  EXPECT_EQ(counter.calls_elsewhere(), 0U);
  const std::vector<AllocationTrace> traces = counter.traces();
  ASSERT_EQ(traces.size(), AllocationCounter::kTracesMax);
  for (size_t i = 0; i < traces.size(); ++i) {
    EXPECT_EQ(traces[i].bytes, 8 * (i + 1));
    EXPECT_TRUE(traces[i].same_thread);
    ASSERT_GE(traces[i].frames.size(), 3U);
    if (HeapIsSanitized()) continue;  // its own frames come first
    EXPECT_THAT(traces[i].frames[0], HasSubstr("malloc"));
    EXPECT_THAT(traces[i].frames[1], HasSubstr("cli_test+0x")) << "who called the heap";
  }
}

TEST(AllocationCounter, TracesKnowAnotherThread) {
  std::atomic<int> turn = 0;
  std::thread other([&] {
    while (turn != 1) std::this_thread::yield();
    TouchHeap(24);
    turn = 2;
  });
  AllocationCounter counter(/*trace=*/true);
  turn = 1;
  while (turn != 2) std::this_thread::yield();
  counter.Stop();
  other.join();
  EXPECT_EQ(counter.calls(), 1U);
  EXPECT_EQ(counter.calls_elsewhere(), 1U);
  ASSERT_EQ(counter.traces().size(), 1U);
  EXPECT_FALSE(counter.traces()[0].same_thread);
}

// A subject that takes a given time of a fake clock, and fails or allocates when told to.
struct FakeSubject {
  FakeClock clock;
  std::vector<int64_t> times_us = {10};
  size_t runs = 0, afters = 0;
  size_t fail_at = std::numeric_limits<size_t>::max();
  size_t heap_calls_each = 0;

  Subject subject() {
    return {[](void* self) { return static_cast<FakeSubject*>(self)->Run(); }, this};
  }
  Status Run() {
    if (runs == fail_at) return Internal("told to fail");
    for (size_t i = 0; i < heap_calls_each; ++i) TouchHeap(16);
    clock.Advance(std::chrono::microseconds(times_us[std::min(runs, times_us.size() - 1)]));
    ++runs;
    return OkStatus();
  }
};

TEST(Measure, FirstRunStandsApart) {
  FakeSubject fake;
  fake.times_us = {500, 10};
  auto m = Measure(fake.subject(), {.min_runs = 20}, fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->first_run_ns, 500'000);
  EXPECT_EQ(m->warm_up_runs, 1U);
  ASSERT_EQ(m->latency_ns.size(), 20U);
  EXPECT_EQ(m->latency().max_ms(), 0.01);
  EXPECT_EQ(m->start_ns[0], 0);
  EXPECT_EQ(m->start_ns[19], 19 * 10'000);
  EXPECT_NEAR(m->runs_per_second(), 1e5, 1e-6);
  EXPECT_EQ(m->heap_calls, 0U);
}

TEST(Measure, RunsForTheDurationAndWarmsUpBefore) {
  FakeSubject fake;
  auto m = Measure(fake.subject(),
                   {.min_runs = 1,
                    .duration = std::chrono::milliseconds(1),
                    .warm_up = std::chrono::microseconds(95)},
                   fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->warm_up_runs, 10U);
  EXPECT_EQ(m->latency_ns.size(), 100U);
}

TEST(Measure, CanariesAreNoRunsAndNoThroughput) {
  FakeSubject fake;  // the canary takes none of the fake clock's time, the run after it 10 us
  auto m = Measure(fake.subject(),
                   {.min_runs = 100, .canary_every = std::chrono::microseconds(100)}, fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->latency_ns.size(), 100U);
  EXPECT_EQ(m->canary.count(), 11U);  // one before, one after every tenth run
  EXPECT_NEAR(m->seconds, 1e-3, 1e-9);
  EXPECT_EQ(fake.runs, 1 + 1 + 100 + 10);
}

TEST(Measure, WhatComesAfterARunIsNotTimed) {
  FakeSubject fake;
  Subject subject = fake.subject();
  subject.after = [](void* self) {
    static_cast<FakeSubject*>(self)->clock.Advance(std::chrono::milliseconds(1));
    ++static_cast<FakeSubject*>(self)->afters;
    return OkStatus();
  };
  auto m = Measure(subject, {.min_runs = 100, .canary_every = std::chrono::microseconds(100)},
                   fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->latency().max_ms(), 0.01);
  EXPECT_NEAR(m->seconds, 1e-3, 1e-9);
  EXPECT_EQ(fake.afters, fake.runs) << "warm-up and the runs after canaries included";
}

TEST(Measure, HeapCallsOfRunsAreCounted) {
  FakeSubject fake;
  fake.heap_calls_each = 3;
  auto m = Measure(fake.subject(), {.min_runs = 7, .canary_every = Duration(0)}, fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->heap_calls, 21U);
  EXPECT_EQ(m->heap_bytes, 21U * 16);
  EXPECT_TRUE(m->heap_traces.empty());
  m = Measure(fake.subject(), {.min_runs = 7, .canary_every = Duration(0), .trace_heap = true},
              fake.clock);
  ASSERT_TRUE(m.ok()) << m.status().message();
  EXPECT_EQ(m->heap_calls, 21U);
  EXPECT_EQ(m->heap_traces.size(), AllocationCounter::kTracesMax);
}

TEST(Measure, AFailingRunIsTheError) {
  for (size_t at : {0U, 1U, 5U}) {
    FakeSubject fake;
    fake.fail_at = at;
    EXPECT_EQ(Measure(fake.subject(), {.min_runs = 7}, fake.clock).status().message(),
              "told to fail")
        << at;
  }
}

TEST(TensorIo, NamedFile) {
  auto named = ParseNamedFile("in=a=b.npy", "--input");
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->name, "in");
  EXPECT_EQ(named->file, "a=b.npy");
  for (const char* bad : {"", "=", "a", "a=", "=b"}) {
    auto refused = ParseNamedFile(bad, "--input");
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_THAT(refused.status().message(), HasSubstr("--input"));
  }
}

std::vector<std::string> Flat(const std::vector<NamedFile>& files) {
  std::vector<std::string> flat;
  for (const NamedFile& f : files) flat.push_back(f.name + "|" + f.file);
  return flat;
}

TEST(TensorIo, LoadInputs) {
  auto parsed = [](std::string_view text) { return Flat(ParseLoadInputs(text).value()); };
  EXPECT_THAT(parsed("a:x.npy"), ElementsAre("a|x.npy"));
  EXPECT_THAT(parsed("a:x.npy,b:dir/y.bin"), ElementsAre("a|x.npy", "b|dir/y.bin"));
  EXPECT_THAT(parsed("'input:0':x.npy,b:'y,z.bin'"), ElementsAre("input:0|x.npy", "b|y,z.bin"));
  EXPECT_THAT(parsed("a:C:x"), ElementsAre("a|C:x"));
  for (const char* bad : {"", "a", "a:", ":x", "a:x,", "a:x,,b:y", "'a:x", "'a'b:x", "a:'x'y"}) {
    EXPECT_EQ(ParseLoadInputs(bad).status().code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(TensorIo, AnInputMayBeGivenOnce) {
  const std::vector<std::string> inputs = {"b=y.npy"};
  EXPECT_THAT(Flat(ParseInputFiles(inputs, "a:x.npy").value()), ElementsAre("a|x.npy", "b|y.npy"));
  EXPECT_THAT(ParseInputFiles(inputs, "b:x.npy").status().message(), HasSubstr("given twice"));
}

TEST(TensorIo, FileNames) {
  EXPECT_EQ(FileNameOf("logits"), "logits");
  EXPECT_EQ(FileNameOf("a/b:0"), "a_b_0");
  EXPECT_EQ(FileNameOf("../../etc"), "_.._.._etc");
  EXPECT_EQ(FileNameOf(""), "_");
  EXPECT_EQ(FormatOf("x.npy"), TensorFormat::kNpy);
  EXPECT_EQ(FormatOf("x.pb"), TensorFormat::kProto);
  EXPECT_EQ(FormatOf("x"), TensorFormat::kRaw);
}

TEST(TensorIo, EveryFormatRoundTrips) {
  const TestFolder own;
  const std::filesystem::path& folder = own.path();
  const Tensor tensor = Tensor::Of<float>(Shape{2, 2}, {1, -2, 3.5F, 4});
  for (const char* name : {"cli_io.npy", "cli_io.pb", "cli_io.bin"}) {
    const std::string path = folder / name;
    const Status written = WriteTensor(path, tensor.view(), "x");
    ASSERT_TRUE(written.ok()) << written.message();
    auto read = ReadTensor(path, DType::kF32, Shape{2, 2});
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->shape(), tensor.shape());
    EXPECT_EQ(read->as<float>()[2], 3.5F);
    std::filesystem::remove(path);
  }
}

TEST(TensorIo, SummaryCountsNansApart) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const TensorSummary s = Summarise(Tensor::Of<float>(Shape{4}, {nan, -1, 3, nan}).view());
  EXPECT_EQ(s.elements, 4);
  EXPECT_EQ(s.nans, 2);
  EXPECT_EQ(s.min, -1);
  EXPECT_EQ(s.max, 3);
  EXPECT_EQ(s.mean, 1);
  const TensorSummary empty = Summarise(Tensor::Of<float>(Shape{0}, {}).view());
  EXPECT_EQ(empty.elements, 0);
  EXPECT_EQ(empty.mean, 0);
}

TEST(Host, TheSelectedWordIsTheOneInBrackets) {
  EXPECT_EQ(SelectedWord("always [madvise] never"), "madvise");
  EXPECT_EQ(SelectedWord("always madvise"), "");
}

// A tree of /proc and /sys files under a temporary root.
class HostTree : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  TestFolder folder_;
  const std::filesystem::path& root_ = folder_.path();
};

TEST_F(HostTree, TheLowestLimitAboveTheProcessHolds) {
  Write("proc/self/cgroup", "0::/pod/app\n");
  Write("sys/fs/cgroup/pod/app/cpu.max", "max 100000");
  Write("sys/fs/cgroup/pod/cpu.max", "150000 100000");
  Write("sys/fs/cgroup/pod/memory.max", "1000000");
  Write("sys/fs/cgroup/pod/memory.current", "400000");
  Write("proc/meminfo",
        "MemTotal: 2000 kB\nMemAvailable: 1000 kB\nHugePages_Total:  4\nHugePages_Free:  3\n");
  const Host host = ReadHost(root_);
  EXPECT_EQ(host.cgroup_cores, 1.5);
  EXPECT_LE(host.usable_cores(), 1.5);
  EXPECT_EQ(host.memory.usable_bytes(), 600'000U);
  EXPECT_EQ(host.reserved_huge_pages, 4U);
  EXPECT_EQ(host.free_huge_pages, 3U);
}

TEST_F(HostTree, AnEmptyTreeIsUnknownAndNoError) {
  const Host host = ReadHost(root_);
  EXPECT_EQ(host.cgroup_cores, std::nullopt);
  EXPECT_EQ(host.memory.cgroup_limit_bytes, std::nullopt);
  EXPECT_EQ(host.memory.total_bytes, 0U);
  EXPECT_EQ(host.governor, "");
}

Health HealthOf(const std::vector<Examined>& list, std::string_view name) {
  for (const Examined& e : list) {
    if (e.name == name) return e.health;
  }
  ADD_FAILURE() << "nothing examined " << name;
  return Health::kOk;
}

TEST(Host, ExamineNamesWhatIsBad) {
  Host good;
  good.cpu_supported = true;
  good.cores_online = good.cores_allowed = 4;
  good.memory.available_bytes = uint64_t{8} << 30;
  good.huge_pages = "madvise";
  good.governor = "performance";
  good.open_files_limit = 65536;
  for (const Examined& e : Examine(good, 1.0, 1.05)) {
    EXPECT_EQ(e.health, Health::kOk) << e.name;
    EXPECT_TRUE(e.effect.empty()) << e.name;
  }
  Host bad = good;
  bad.cpu_supported = false;
  bad.cgroup_cores = 1.5;
  bad.huge_pages = "never";
  bad.governor = "powersave";
  bad.swap_total_bytes = bad.swap_used_bytes = 1 << 20;
  const auto list = Examine(bad, 1.0, 2.0);
  EXPECT_EQ(HealthOf(list, "isa"), Health::kBad);
  for (const char* name : {"cpu-quota", "huge-pages", "governor", "swap", "noise"}) {
    EXPECT_EQ(HealthOf(list, name), Health::kWarning) << name;
  }
  for (const Examined& e : list) EXPECT_EQ(e.health == Health::kOk, e.effect.empty()) << e.name;
}

TEST(Table, AlignsAndTrims) {
  Table table({"name", "n", "why"});
  table.LeftFrom(2);
  table.Row({"a", "10", "x"});
  table.Row({"long", "5", ""});
  EXPECT_EQ(table.Text(), "name   n  why\na     10  x\nlong   5\n");
}

TEST(JsonText, NumbersJsonCannotSayAreNull) {
  JsonText json;
  json.Object()
      .Field("a", std::nan(""))
      .Field("b", 0.1)
      .Field("c", size_t{3})
      .Field("d", true)
      .Field("e", "x\"y");
  json.Array("f").Value(-1).EndArray().EndObject();
  EXPECT_EQ(json.Text(),
            "{\n  \"a\": null,\n  \"b\": 0.1,\n  \"c\": 3,\n  \"d\": true,\n  \"e\": \"x\\\"y\",\n "
            " \"f\": [\n    -1\n  ]\n}\n");
}

Result<server::ServeOptions> ParseServe(std::vector<std::string> args) {
  CLI::App app;
  ServeFlags flags;
  flags.Add(app);
  args.insert(args.begin(), "--model-repository=models");
  std::reverse(args.begin(), args.end());
  try {
    app.parse(args);
  } catch (const CLI::ParseError& error) {
    return InvalidArgument(error.what());
  }
  FUSEE_TRY(flags.Apply());
  return flags.options;
}

TEST(ServeFlags, TritonSpellings) {
  auto o =
      ParseServe({"--http-port=0", "--metrics-port", "9", "--allow-grpc=false", "--allow-http=true",
                  "--strict-readiness=false", "--exit-on-error=0", "--exit-timeout-secs=7",
                  "--http-max-input-size=1024", "--nvtx", "--model-control-mode=none"});
  ASSERT_TRUE(o.ok()) << o.status().message();
  EXPECT_EQ(o->model_repository, "models");
  EXPECT_EQ(o->http_port, 0);
  EXPECT_EQ(o->metrics_port, 9);
  EXPECT_TRUE(o->metrics_on_own_port);
  EXPECT_FALSE(o->strict_readiness);
  EXPECT_FALSE(o->exit_on_error);
  EXPECT_EQ(o->exit_timeout, std::chrono::seconds(7));
  EXPECT_EQ(o->http.body_bytes, 1024U);
}

TEST(ServeFlags, MetricsShareThePortWhenTheNumbersAgree) {
  EXPECT_FALSE(ParseServe({"--http-port=8000", "--metrics-port=8000"})->metrics_on_own_port);
  EXPECT_TRUE(ParseServe({"--http-port=0", "--metrics-port=0"})->metrics_on_own_port);
}

TEST(ServeFlags, WhatCannotBeHadIsRefusedByName) {
  for (const char* flag : {"--grpc-port=8001", "--allow-grpc=true", "--allow-http=false",
                           "--allow-metrics=false", "--model-control-mode=explicit"}) {
    auto refused = ParseServe({flag});
    ASSERT_FALSE(refused.ok()) << flag;
    const std::string name = std::string(flag).substr(0, std::string(flag).find('='));
    EXPECT_THAT(refused.status().message(), HasSubstr(name));
  }
  EXPECT_FALSE(ParseServe({"--http-port=70000"}).ok());
  EXPECT_FALSE(ParseServe({"--default-deadline-ms=2000", "--max-deadline-ms=1000"}).ok());
  EXPECT_FALSE(ParseServe({"--http-port=80", "--metrics-port=80", "--metrics-port-file=f"}).ok());
}

}  // namespace
}  // namespace fusee::cli
