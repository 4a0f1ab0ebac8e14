// The C ABI as a C++ program sees it, and the installed libraries as a C program sees them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/test_folder.h"
#include "fusee/fusee.h"
#include "plan/encode.h"
#include "plan/plan_test_util.h"

namespace {

std::vector<std::byte> PlanBytes() {
  return fusee::plan::Encode(fusee::plan::testing::SmallPlan()).value();
}

struct StatusOwner {
  fusee_status* status;
  explicit StatusOwner(fusee_status* s) : status(s) {}
  ~StatusOwner() { fusee_status_free(status); }
  fusee_code code() const { return fusee_status_code(status); }
  std::string message() const { return fusee_status_message(status); }
};

#define ASSERT_FUSEE_OK(call)                     \
  do {                                            \
    const StatusOwner s(call);                    \
    ASSERT_EQ(s.code(), FUSEE_OK) << s.message(); \
  } while (false)

class CApi : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto bytes = PlanBytes();
    ASSERT_FUSEE_OK(fusee_plan_load_bytes(bytes.data(), bytes.size(), nullptr, &plan_));
    ASSERT_FUSEE_OK(fusee_threads_create(2, &threads_));
    fusee_context_options options = {sizeof options, threads_, 0};
    ASSERT_FUSEE_OK(fusee_context_create(plan_, &options, &context_));
  }
  void TearDown() override {
    fusee_plan_free(plan_);  // before its context: that keeps what it needs
    fusee_context_free(context_);
    fusee_threads_free(threads_);
  }
  fusee_plan* plan_ = nullptr;
  fusee_threads* threads_ = nullptr;
  fusee_context* context_ = nullptr;
};

TEST(CApiFoundSizes, AreTheMostUntilARunTellsThem) {
  const auto bytes = fusee::plan::Encode(fusee::plan::testing::CountingPlan()).value();
  fusee_plan* plan = nullptr;
  ASSERT_FUSEE_OK(fusee_plan_load_bytes(bytes.data(), bytes.size(), nullptr, &plan));
  fusee_io_info info = {sizeof info};
  ASSERT_FUSEE_OK(fusee_plan_get_output(plan, 0, &info));
  EXPECT_EQ(info.min_shape[1], 0);
  EXPECT_EQ(info.max_shape[1], 32);
  fusee_context* context = nullptr;
  ASSERT_FUSEE_OK(fusee_context_create(plan, nullptr, &context));
  const std::vector<float> x = {0, 1, 0, 2};
  const int64_t shape[] = {1, 4};
  ASSERT_FUSEE_OK(fusee_context_set_input_shape(context, 0, shape, 2));
  ASSERT_FUSEE_OK(fusee_context_bind_input(context, 0, x.data(), 16));
  ASSERT_FUSEE_OK(fusee_context_run(context));
  fusee_tensor y = {sizeof y};
  ASSERT_FUSEE_OK(fusee_context_output(context, 0, &y));
  EXPECT_EQ(y.shape[1], 2);
  fusee_context_free(context);
  fusee_plan_free(plan);
}

TEST_F(CApi, TheCpuNeedsNoDevice) {
  fusee_device* device = nullptr;
  ASSERT_FUSEE_OK(fusee_device_open("cpu", &device));
  EXPECT_EQ(device, nullptr);
  fusee_device_free(device);
  fusee_plan_info info = {sizeof info};
  ASSERT_FUSEE_OK(fusee_plan_get_info(plan_, &info));
  EXPECT_STREQ(info.device, "cpu");
  EXPECT_EQ(info.host_step_count, 0u);
  EXPECT_EQ(info.batch_symbol, 0);
  EXPECT_EQ(info.batch_checked, 1);
  ASSERT_FUSEE_OK(fusee_context_move_inputs(context_));  // nothing has to move
  ASSERT_FUSEE_OK(fusee_context_move_outputs(context_));
  double us = 0;
  const StatusOwner timed(fusee_context_run_device_timed(context_, &us));
  EXPECT_EQ(timed.code(), FUSEE_FAILED_PRECONDITION) << timed.message();
}

TEST(CApiDevice, NamesWhatADeviceMayBeCalled) {
  fusee_device* device = nullptr;
  const StatusOwner status(fusee_device_open("gpu", &device));
  EXPECT_EQ(status.code(), FUSEE_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find("cuda:N"), std::string::npos) << status.message();
}

TEST(CApiDevice, APlanForAGpuIsRefusedOnTheCpu) {
  const auto bytes = fusee::plan::Encode(fusee::plan::testing::GpuPlan()).value();
  fusee_plan* plan = nullptr;
  const StatusOwner status(fusee_plan_load_bytes(bytes.data(), bytes.size(), nullptr, &plan));
  EXPECT_EQ(status.code(), FUSEE_FAILED_PRECONDITION) << status.message();
  EXPECT_NE(status.message().find("'cuda'"), std::string::npos) << status.message();
}

TEST(CApiDevice, OnlyADeviceHasADriverToWatch) {
  EXPECT_EQ(StatusOwner(fusee_device_watch_driver(nullptr)).code(), FUSEE_INVALID_ARGUMENT);
  fusee_driver_calls calls = {sizeof calls};
  EXPECT_EQ(StatusOwner(fusee_device_get_driver_calls(nullptr, &calls)).code(),
            FUSEE_INVALID_ARGUMENT);
}

TEST_F(CApi, TellsWhatThePlanNeeds) {
  EXPECT_EQ(fusee_abi_version(), static_cast<uint32_t>(FUSEE_ABI_VERSION));
  fusee_plan_info info = {sizeof info};
  ASSERT_FUSEE_OK(fusee_plan_get_info(plan_, &info));
  EXPECT_STREQ(info.model_name, "small");
  EXPECT_EQ(info.input_count, 1u);
  EXPECT_EQ(info.step_count, 3u);
  EXPECT_EQ(info.verified, 1);
  EXPECT_EQ(info.context_bytes, 384u);
  EXPECT_GT(info.load_ns, 0);
  fusee_io_info io = {sizeof io};
  ASSERT_FUSEE_OK(fusee_plan_get_input(plan_, 0, &io));
  EXPECT_STREQ(io.name, "x");
  EXPECT_STREQ(io.shape_text, "[batch,4]");
  EXPECT_EQ(io.dtype, FUSEE_F32);
  EXPECT_EQ(io.min_shape[0], 1);
  EXPECT_EQ(io.opt_shape[0], 4);
  EXPECT_EQ(io.max_shape[0], 8);
  size_t index = 9;
  ASSERT_FUSEE_OK(fusee_plan_find_output(plan_, "y", &index));
  EXPECT_EQ(index, 0u);
  EXPECT_EQ(StatusOwner(fusee_plan_find_output(plan_, "x", &index)).code(), FUSEE_NOT_FOUND);
  fusee_symbol_info symbol = {sizeof symbol};
  ASSERT_FUSEE_OK(fusee_plan_get_symbol(plan_, 0, &symbol));
  EXPECT_EQ(symbol.max, 8);
  fusee_bucket_info bucket = {sizeof bucket};
  ASSERT_FUSEE_OK(fusee_plan_get_bucket(plan_, 1, &bucket));
  EXPECT_EQ(bucket.symbol_values[0], 8);
  EXPECT_EQ(bucket.p99_us, 4);
  fusee_step_info step = {sizeof step};
  ASSERT_FUSEE_OK(fusee_plan_get_step(plan_, 1, &step));
  EXPECT_STREQ(step.sources, "add_1 + bias_2");
  for (fusee_text_kind kind :
       {FUSEE_HEADER_TEXT, FUSEE_HEADER_JSON, FUSEE_PLAN_TEXT, FUSEE_PLAN_JSON}) {
    char* text = nullptr;
    ASSERT_FUSEE_OK(fusee_plan_describe(plan_, kind, &text));
    EXPECT_NE(std::strstr(text, "small"), nullptr);
    fusee_text_free(text);
  }
}

TEST_F(CApi, RunsAndReportsSteps) {
  const int64_t shape[] = {2, 4};
  ASSERT_FUSEE_OK(fusee_context_set_input_shape(context_, 0, shape, 2));
  const float in[8] = {-1, 2, -3, 4, 5, -6, 7, -8};
  float out[8] = {};
  ASSERT_FUSEE_OK(fusee_context_bind_input(context_, 0, in, sizeof in));
  ASSERT_FUSEE_OK(fusee_context_bind_output(context_, 0, out, sizeof out));
  struct Seen {
    size_t steps = 0;
    float last = 0;
  } seen;
  fusee_context_set_step_callback(
      context_,
      [](void* user, const fusee_step_event* event) {
        auto* s = static_cast<Seen*>(user);
        EXPECT_EQ(event->step, s->steps++);
        EXPECT_GE(event->ns, 0);
        s->last = static_cast<const float*>(event->outputs[0].data)[0];
      },
      &seen);
  ASSERT_FUSEE_OK(fusee_context_run(context_));
  EXPECT_EQ(seen.steps, 3u);
  EXPECT_EQ(seen.last, -2.0f);
  const float want[8] = {-2, -4, -6, -8, -6, -8, -10, -12};
  EXPECT_TRUE(std::equal(out, out + 8, want));
  fusee_tensor y = {sizeof y};
  ASSERT_FUSEE_OK(fusee_context_output(context_, 0, &y));
  EXPECT_EQ(y.data, out);
  EXPECT_EQ(y.shape[0], 2);
  EXPECT_EQ(y.bytes, 32u);
  EXPECT_EQ(fusee_context_bucket(context_), 1);
}

TEST_F(CApi, ErrorsAreValues) {
  const int64_t shape[] = {9, 4};
  const StatusOwner range(fusee_context_set_input_shape(context_, 0, shape, 2));
  EXPECT_EQ(range.code(), FUSEE_OUT_OF_RANGE);
  EXPECT_NE(range.message().find("batch = 9"), std::string::npos);
  EXPECT_EQ(StatusOwner(fusee_context_set_input_shape(context_, 0, shape, 9)).code(),
            FUSEE_INVALID_ARGUMENT);
  EXPECT_EQ(StatusOwner(fusee_context_set_input_shape(context_, 7, shape, 2)).code(),
            FUSEE_INVALID_ARGUMENT);
  fusee_io_info io = {sizeof io};
  EXPECT_EQ(StatusOwner(fusee_plan_get_input(plan_, 1, &io)).code(), FUSEE_INVALID_ARGUMENT);
  io.struct_size = 0;
  EXPECT_EQ(StatusOwner(fusee_plan_get_input(plan_, 0, &io)).code(), FUSEE_INVALID_ARGUMENT);
  fusee_plan* none = nullptr;
  EXPECT_EQ(StatusOwner(fusee_plan_load("/nonexistent.plan", nullptr, &none)).code(),
            FUSEE_NOT_FOUND);
  EXPECT_EQ(StatusOwner(fusee_plan_load_bytes("no", 2, nullptr, &none)).code(), FUSEE_DATA_LOSS);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(fusee_status_code(nullptr), FUSEE_OK);
  EXPECT_STREQ(fusee_status_message(nullptr), "");
}

// Options whose size nobody set would be ignored unsaid.
TEST_F(CApi, RefusesOptionsWithoutTheirSize) {
  const auto bytes = PlanBytes();
  fusee_plan* plan = nullptr;
  fusee_context* context = nullptr;
  for (size_t size : {size_t{0}, sizeof(size_t) - 1}) {
    fusee_load_options load = {};
    load.struct_size = size;
    load.refuse_unverified = 1;
    const StatusOwner refused(fusee_plan_load_bytes(bytes.data(), bytes.size(), &load, &plan));
    EXPECT_EQ(refused.code(), FUSEE_INVALID_ARGUMENT);
    EXPECT_NE(refused.message().find("struct_size"), std::string::npos);
    EXPECT_EQ(StatusOwner(fusee_plan_load("/nonexistent.plan", &load, &plan)).code(),
              FUSEE_INVALID_ARGUMENT);
    fusee_context_options options = {};
    options.struct_size = size;
    EXPECT_EQ(StatusOwner(fusee_context_create(plan_, &options, &context)).code(),
              FUSEE_INVALID_ARGUMENT);
  }
  EXPECT_EQ(plan, nullptr);
  EXPECT_EQ(context, nullptr);
}

// What a handle tells comes from the bytes that were loaded, not from what the path names later.
TEST(CApiFiles, DescribesWhatWasLoadedAndChecksMemory) {
  const fusee::TestFolder folder;
  const std::filesystem::path path = folder.path() / "small.plan";
  const auto write = [&](const std::vector<std::byte>& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  const auto bytes = PlanBytes();
  write(bytes);
  fusee_plan* plan = nullptr;
  ASSERT_FUSEE_OK(fusee_plan_load(path.c_str(), nullptr, &plan));
  std::filesystem::resize_file(path, 0);
  char* text = nullptr;
  ASSERT_FUSEE_OK(fusee_plan_describe(plan, FUSEE_HEADER_TEXT, &text));
  EXPECT_NE(std::strstr(text, "small"), nullptr);
  fusee_text_free(text);
  fusee_plan_info info = {sizeof info};
  ASSERT_FUSEE_OK(fusee_plan_get_info(plan, &info));
  EXPECT_EQ(info.file_bytes, bytes.size());
  fusee_plan_free(plan);

  fusee_verdict verdict = FUSEE_VERDICT_OK;
  write(bytes);
  ASSERT_FUSEE_OK(fusee_plan_check(path.c_str(), &verdict, nullptr));
  EXPECT_NE(verdict, FUSEE_VERDICT_INCOMPATIBLE);
  // Activations and io of 2^40 rows of 16 bytes: more than any machine has.
  write(fusee::plan::Encode(fusee::plan::testing::SmallPlan(int64_t{1} << 40)).value());
  char* report = nullptr;
  ASSERT_FUSEE_OK(fusee_plan_check(path.c_str(), &verdict, &report));
  EXPECT_EQ(verdict, FUSEE_VERDICT_INCOMPATIBLE);
  EXPECT_NE(std::strstr(report, "\"memory\""), nullptr) << report;
  fusee_text_free(report);
  std::filesystem::remove(path);
}

// An older program's smaller struct is filled as far as it goes, and not beyond.
TEST_F(CApi, RespectsTheCallersStructSize) {
  fusee_plan_info info;
  std::memset(&info, 0x5a, sizeof info);
  info.struct_size = offsetof(fusee_plan_info, output_count);
  ASSERT_FUSEE_OK(fusee_plan_get_info(plan_, &info));
  EXPECT_EQ(info.input_count, 1u);
  EXPECT_EQ(info.output_count, 0x5a5a5a5a5a5a5a5au);
}

TEST_F(CApi, FillsInputsFromASeed) {
  const int64_t batch = 3;
  ASSERT_FUSEE_OK(fusee_context_fill_inputs(context_, &batch, 1, FUSEE_FILL_UNIFORM, 1, 1));
  fusee_tensor x = {sizeof x};
  ASSERT_FUSEE_OK(fusee_context_input(context_, 0, &x));
  EXPECT_EQ(x.shape[0], 3);
  ASSERT_FUSEE_OK(fusee_context_run(context_));
  const int64_t wrong = 9;
  EXPECT_EQ(
      StatusOwner(fusee_context_fill_inputs(context_, &wrong, 1, FUSEE_FILL_UNIFORM, 1, 1)).code(),
      FUSEE_OUT_OF_RANGE);
  EXPECT_EQ(
      StatusOwner(fusee_context_fill_inputs(context_, &batch, 0, FUSEE_FILL_UNIFORM, 1, 1)).code(),
      FUSEE_INVALID_ARGUMENT);
}

int Shell(const std::string& command) { return std::system(command.c_str()); }

// cmake --install into an empty prefix, moved elsewhere, then one pkg-config line each for C and
// C++.
TEST(Installed, CompilesTheExampleWithOnePkgConfigLineAndRunsIt) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitised library needs a sanitised program";
#endif
  if (Shell("command -v pkg-config >/dev/null && command -v cc >/dev/null") != 0)
    GTEST_SKIP() << "no pkg-config or cc";
  namespace fs = std::filesystem;
  const fusee::TestFolder folder;
  const fs::path root = folder.path() / "fusee install test";  // with spaces, on purpose
  fs::create_directories(root);
  const std::string in = "cd '" + root.string() + "' && ";
  ASSERT_EQ(Shell(in + "cmake --install '" FUSEE_BUILD_DIR "' --component fusee_dev --prefix '" +
                  root.string() + "/first' >install.log && mv first moved"),
            0);
  const auto bytes = PlanBytes();
  std::ofstream(root / "small.plan", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  const auto compile = [&](const std::string& compiler, const std::string& source,
                           const std::string& program) {
    return in +
           "f=$(PKG_CONFIG_PATH=\"$PWD/$(dirname \"$(find moved -name fusee.pc)\")\" pkg-config "
           "--cflags --libs fusee) && eval \"" +
           compiler + " -Wall -Werror '" + source + "' -o " + program + " $f\"";
  };
  ASSERT_EQ(Shell(compile("cc -std=c99", FUSEE_SOURCE_DIR "/examples/c/run_plan.c", "run_plan")),
            0);
  ASSERT_EQ(Shell(in + "./run_plan small.plan >out.txt && grep -q 'y f32\\[4,4\\]' out.txt"), 0);
  std::ofstream(root / "hello.cc")
      << "#include <fusee/fusee.hpp>\n"
         "int main() { auto p = fusee::Plan::Load(\"small.plan\").or_throw();\n"
         "  auto c = fusee::Context::Create(p).or_throw(); c.SetInputShape(0, {2, 4}).or_throw();\n"
         "  c.Run().or_throw(); return c.Output(0).or_throw().shape[0] == 2 ? 0 : 1; }\n";
  ASSERT_EQ(Shell(compile("c++ -std=c++17", "hello.cc", "hello")), 0);
  EXPECT_EQ(Shell(in + "./hello"), 0);
  fs::remove_all(root);
}

}  // namespace
