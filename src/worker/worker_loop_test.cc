// The worker's loop over a real channel with a device that copies: what it answers, and what it
// refuses to touch.
#include "worker/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "ipc/slab.h"

namespace fusee::worker {
namespace {

using ipc::MessageType;
using ipc::WorkerExit;

// OUT = IN, f32[batch, 4], batch 1..8.
class CopyModel final : public WorkerModel {
 public:
  CopyModel() {
    info_.inputs = {{"IN", DType::kF32, {-1, 4}}};
    info_.outputs = {{"OUT", DType::kF32, {-1, 4}}};
    info_.symbols = {{.name = "batch", .min = 1, .max = 8}};
    info_.batch_symbol = 0;
    shapes_.dims = {{ipc::ShapeProgram::Op::kSymbol, 0, 0},
                    {ipc::ShapeProgram::Op::kConstant, 4, 0}};
    shapes_.inputs = shapes_.outputs = {{0, 1}};
  }
  const ipc::ModelInfo& info() const override { return info_; }
  const ipc::ShapeProgram& shapes() const override { return shapes_; }
  Status Run(std::span<ipc::BatchItem> items, const Clock&, ipc::BatchResult* times) override {
    times->compute = Duration(7);
    for (ipc::BatchItem& item : items) {
      std::memcpy(item.outputs[0].data, item.inputs[0].data,
                  static_cast<size_t>(item.inputs[0].size_bytes()));
    }
    return OkStatus();
  }
  Result<std::optional<WrongBits>> ReplayGolden(const Clock&) override {
    if (!run_status.ok()) return run_status;
    if (repeats) return std::optional(WrongBits{"output 'OUT'", true});
    return Golden(fault::Point::kGolden);
  }
  bool can_probe() const override { return probes; }
  Result<std::optional<WrongBits>> ProbeGolden() override {
    if (!probe_status.ok()) return probe_status;
    return Golden(fault::Point::kProbe);
  }

  Status run_status, probe_status;
  bool probes = true, repeats = false;

 private:
  static std::optional<WrongBits> Golden(fault::Point point) {
    if (fault::Hit(point) != fault::Effect::kWrong) return std::nullopt;
    return WrongBits{"output 'OUT', element 2", point == fault::Point::kProbe};
  }
  ipc::ModelInfo info_;
  ipc::ShapeProgram shapes_;
};

class CopyDevice final : public WorkerDevice {
 public:
  std::string description() const override { return "a test"; }
  Result<std::unique_ptr<WorkerModel>> Load(const std::string& path, const std::string&,
                                            int64_t) override {
    if (path == "bad") return DataLoss("bad plan");
    auto model = std::make_unique<CopyModel>();
    if (path == "norun") model->run_status = Internal("no run");
    if (path == "noprobe") model->probe_status = Internal("no probe");
    model->repeats = path == "other";
    model->probes = path != "unprobed";
    return std::unique_ptr<WorkerModel>(std::move(model));
  }
  Status Health() const override { return lost ? Internal("sticky") : OkStatus(); }
  bool lost = false;
};

class WorkerLoopTest : public testing::Test {
 protected:
  static constexpr size_t kSlabBytes = 64 << 10;

  WorkerLoopTest()
      : channel_(*ipc::Channel::Create()),
        inputs_(*ipc::Slab::Create("in", kSlabBytes)),
        outputs_(*ipc::Slab::Create("out", kSlabBytes)),
        writer_(channel_.requests()),
        reader_(channel_.replies()) {
    spdlog::set_level(spdlog::level::off);
    int ends[2];
    FUSEE_CHECK(pipe(ends) == 0, "pipe");
    life_.Reset(ends[1]);
    loop_.emplace(&channel_, inputs_->memory().bytes(), outputs_->memory().bytes(),
                  Descriptor(ends[0]), &device_, &SteadyClock());
    thread_ = std::thread([this] { exit_ = loop_->Run("test"); });
    EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kHello));
  }
  ~WorkerLoopTest() override {
    fault::Disarm();
    life_.Reset();
    if (thread_.joinable()) thread_.join();
  }

  void Send(MessageType type, uint64_t about = 0) {
    ASSERT_TRUE(
        writer_.Write({.type = static_cast<uint16_t>(type), .about = about}, payload_).ok());
    channel_.request_bell().Ring();
    payload_.clear();
  }
  ipc::MessageHeader Read() {
    while (true) {
      const auto read = reader_.Read(&reply_);
      FUSEE_CHECK(read.ok(), "reply ring");
      if (*read) return reply_.header;
      pollfd fd{.fd = channel_.reply_bell().fd(), .events = POLLIN, .revents = 0};
      poll(&fd, 1, -1);
      channel_.reply_bell().Hear();
    }
  }
  void SendLoad(const std::string& path, uint32_t model = 0) {
    Encode(
        ipc::LoadMessage{
            .model = model, .path = path, .name = "m" + std::to_string(model), .version = 1},
        &payload_);
    Send(MessageType::kLoad);
  }
  // Whether anything was probed.
  bool Probe() {
    Send(MessageType::kProbe, 4);
    EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kProbed));
    ipc::ProbedMessage probed;
    EXPECT_TRUE(Decode(reply_.payload, &probed).ok());
    return probed.probed;
  }
  void ExpectLastWords(const std::string& part) {
    EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kLastWords));
    ipc::LastWordsMessage words;
    ASSERT_TRUE(Decode(reply_.payload, &words).ok());
    EXPECT_THAT(words.text, testing::HasSubstr(part));
  }
  Status Load(const std::string& path = "plan", uint32_t model = 0) {
    SendLoad(path, model);
    EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kLoaded));
    ipc::LoadedMessage loaded;
    const Status decoded = Decode(reply_.payload, &loaded);
    EXPECT_TRUE(decoded.ok()) << decoded.message();
    return loaded.status;
  }
  static ipc::BatchMessage OneRow() {
    return {.id = 5, .model = 0, .shapes = {{1, 4}, {1, 4}}, .places = {{0, 1}, {0, 1}}};
  }
  void SendBatch(const ipc::BatchMessage& batch) {
    ASSERT_TRUE(Encode(batch, &payload_).ok());
    Send(MessageType::kBatch, batch.id);
  }
  WorkerExit Exit() {
    thread_.join();
    return exit_;
  }

  ipc::Channel channel_;
  std::shared_ptr<ipc::Slab> inputs_, outputs_;
  ipc::RingWriter writer_;
  ipc::RingReader reader_;
  ipc::Message reply_;
  std::vector<std::byte> payload_;
  CopyDevice device_;
  Descriptor life_;
  std::optional<WorkerLoop> loop_;
  WorkerExit exit_ = WorkerExit::kUsage;
  std::thread thread_;
};

TEST_F(WorkerLoopTest, RunsABatchWhereItsTensorsLie) {
  ASSERT_TRUE(Load().ok());
  const float rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::memcpy(inputs_->memory().data() + 4096, rows, 16);
  std::memcpy(inputs_->memory().data() + 8192, rows + 4, 32);
  SendBatch({.id = 9,
             .model = 0,
             .shapes = {{1, 4}, {1, 4}},
             .places = {{4096, 1}, {0, 1}, {8192, 2}, {64, 2}}});
  EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kDone));
  EXPECT_EQ(reply_.header.about, 9u);
  EXPECT_EQ(reply_.header.flags, ipc::kFinal);
  ipc::DoneMessage done;
  ASSERT_TRUE(Decode(reply_.payload, &done).ok());
  EXPECT_TRUE(done.status.ok()) << done.status.message();
  EXPECT_EQ(done.compute, Duration(7));
  EXPECT_EQ(std::memcmp(outputs_->memory().data(), rows, 16), 0);
  EXPECT_EQ(std::memcmp(outputs_->memory().data() + 64, rows + 4, 32), 0);
}

TEST_F(WorkerLoopTest, SaysTheOutputShapesOfARequestAlone) {
  ASSERT_TRUE(Load().ok());
  SendBatch(OneRow());
  Read();
  ipc::DoneMessage done;
  ASSERT_TRUE(Decode(reply_.payload, &done).ok());
  EXPECT_THAT(done.outputs, testing::ElementsAre(Shape{1, 4}));
}

TEST_F(WorkerLoopTest, AnswersPings) {
  Send(MessageType::kPing, 17);
  EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kPong));
  EXPECT_EQ(reply_.header.about, 17u);
}

TEST_F(WorkerLoopTest, APlanThatDoesNotLoadIsAnAnswer) {
  EXPECT_EQ(Load("bad").message(), "bad plan");
  EXPECT_TRUE(Load().ok());
}

TEST_F(WorkerLoopTest, GoldenRunsThatCannotBeMadeAreAnAnswer) {
  EXPECT_THAT(Load("norun").message(), testing::HasSubstr("no run"));
  EXPECT_TRUE(Load().ok());
}

// The plan, and not the device: what else there is is served.
TEST_F(WorkerLoopTest, TheSameWrongGoldenOutputsTwiceAreAnAnswer) {
  const Status refused = Load("other", 0);
  EXPECT_EQ(refused.code(), StatusCode::kDataLoss);
  for (const char* part : {"output 'OUT'", "`fusee verify other`", "--locked other.lock"})
    EXPECT_THAT(refused.message(), testing::HasSubstr(part));
  EXPECT_TRUE(Load("plan", 1).ok());
  ipc::BatchMessage batch = OneRow();
  batch.model = 1;
  SendBatch(batch);
  EXPECT_EQ(Read().type, static_cast<uint16_t>(MessageType::kDone));
}

TEST_F(WorkerLoopTest, DifferentGoldenOutputsEndItWithLastWords) {
  ASSERT_TRUE(fault::Arm("golden:wrong").ok());
  SendLoad("some.plan");
  EXPECT_EQ(Exit(), WorkerExit::kGoldenMismatch);
  ExpectLastWords("some.plan");
  EXPECT_FALSE(*reader_.Read(&reply_)) << "and no answer";
}

TEST_F(WorkerLoopTest, AProbeWithRightBitsIsAnswered) {
  ASSERT_TRUE(Load().ok());
  EXPECT_TRUE(Probe());
  EXPECT_EQ(reply_.header.about, 4u);
}

TEST_F(WorkerLoopTest, WhatIsTooSlowIsNotProbed) {
  EXPECT_FALSE(Probe());
  ASSERT_TRUE(Load("unprobed").ok());
  EXPECT_FALSE(Probe());
}

TEST_F(WorkerLoopTest, ProbesGoRoundTheModels) {
  ASSERT_TRUE(fault::Arm("probe:wrong@5").ok());
  for (uint32_t model : {7u, 3u}) ASSERT_TRUE(Load("plan", model).ok());
  ASSERT_TRUE(Load("unprobed", 5).ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Probe());
  Send(MessageType::kProbe);
  EXPECT_EQ(Exit(), WorkerExit::kGoldenMismatch);
  ExpectLastWords("model 'm3'");
}

TEST_F(WorkerLoopTest, AProbeWithOtherBitsEndsItWithLastWords) {
  ASSERT_TRUE(Load().ok());
  ASSERT_TRUE(fault::Arm("probe:wrong@2").ok());
  EXPECT_TRUE(Probe());
  Send(MessageType::kProbe);
  EXPECT_EQ(Exit(), WorkerExit::kGoldenMismatch);
  ExpectLastWords("output 'OUT', element 2");
}

TEST_F(WorkerLoopTest, AProbeThatCannotBeMadeSaysSo) {
  ASSERT_TRUE(Load("noprobe").ok());
  Send(MessageType::kProbe);
  EXPECT_EQ(Exit(), WorkerExit::kGoldenMismatch);
  ExpectLastWords("cannot be made any more: no probe");
}

TEST_F(WorkerLoopTest, StopsWhenTold) {
  Send(MessageType::kStop);
  EXPECT_EQ(Exit(), WorkerExit::kOk);
}

TEST_F(WorkerLoopTest, EndsWhenTheFrontIsGone) {
  life_.Reset();
  EXPECT_EQ(Exit(), WorkerExit::kOk);
}

TEST_F(WorkerLoopTest, ALostDeviceEndsTheProcessWithoutAnAnswer) {
  ASSERT_TRUE(Load().ok());
  device_.lost = true;
  SendBatch(OneRow());
  EXPECT_EQ(Exit(), WorkerExit::kDeviceLost);
  EXPECT_FALSE(*reader_.Read(&reply_));
}

TEST_F(WorkerLoopTest, AStickyErrorOnDemandDoesTheSame) {
  ASSERT_TRUE(Load().ok());
  ASSERT_TRUE(fault::Arm("run:sticky").ok());
  SendBatch(OneRow());
  EXPECT_EQ(Exit(), WorkerExit::kDeviceLost);
}

TEST_F(WorkerLoopTest, UnknownRequestsEndIt) {
  Send(static_cast<MessageType>(55));
  EXPECT_EQ(Exit(), WorkerExit::kProtocol);
}

// One batch each: what it names is not there, and nothing is touched.
class BadBatchTest : public WorkerLoopTest,
                     public testing::WithParamInterface<std::pair<const char*, ipc::BatchMessage>> {
};

TEST_P(BadBatchTest, EndsTheWorkerBeforeAByteIsTouched) {
  ASSERT_TRUE(Load().ok());
  SendBatch(GetParam().second);
  EXPECT_EQ(Exit(), WorkerExit::kProtocol);
}

std::vector<std::pair<const char*, ipc::BatchMessage>> BadBatches() {
  std::vector<std::pair<const char*, ipc::BatchMessage>> all;
  const auto add = [&](const char* name, auto change) {
    ipc::BatchMessage m{
        .id = 5, .model = 0, .shapes = {{1, 4}, {1, 4}}, .places = {{0, 1}, {0, 1}}};
    change(m);
    all.emplace_back(name, m);
  };
  add("UnknownModel", [](auto& m) { m.model = 1; });
  add("MissingTensor", [](auto& m) { m.shapes.pop_back(), m.places.pop_back(); });
  add("OtherRank", [](auto& m) { m.shapes[0] = {4}; });
  add("InputBeyondTheSlab", [](auto& m) { m.places[0].offset = (64 << 10) - 15; });
  add("OutputBeyondTheSlab", [](auto& m) { m.places[1].offset = (64 << 10) - 15; });
  add("OffsetThatWraps", [](auto& m) { m.places[0].offset = UINT64_MAX - 7; });
  add("SizeThatWraps", [](auto& m) { m.places[0].rows = INT64_MAX / 2; });
  add("RowsBeyondTheSlab", [](auto& m) { m.places[1].rows = 5000; });
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, BadBatchTest, testing::ValuesIn(BadBatches()),
                         [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace fusee::worker
