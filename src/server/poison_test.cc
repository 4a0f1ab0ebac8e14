#include "server/poison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace fusee::server {
namespace {

using std::chrono::seconds;

class PoisonTest : public testing::Test {
 protected:
  PoisonTest() { clock_.Advance(std::chrono::hours(1)); }

  // A request whose only input is one row of these.
  struct Request {
    explicit Request(std::vector<float> v) : values(std::move(v)) {}
    std::vector<ConstTensorView> inputs() const {
      return {{DType::kF32, Shape{1, static_cast<int64_t>(values.size())}, values.data()}};
    }
    std::vector<float> values;
  };
  static Request Numbered(float n) { return Request({n, 2, 3}); }
  Fingerprint Of(const Request& r) { return FingerprintOf(model_, r.inputs()); }
  std::optional<PoisonTable::Known> Find(const Request& r) {
    return table_.Find(model_, r.inputs(), clock_.Now());
  }
  bool Dies(const Request& r, std::vector<std::string> on, bool alone,
            std::string_view survived = "") {
    return table_.Record(Of(r), on, alone, survived, clock_.Now());
  }
  void Survives(const Request& r, std::string_view kind) {
    EXPECT_FALSE(table_.Record(Of(r), {}, false, kind, clock_.Now()));
  }

  // As a dispatcher says it; the request's values must live until they are entered.
  void Remember(const Request& r, std::vector<std::string> on, bool alone,
                std::string survived = "", std::shared_ptr<const void> memory = nullptr) {
    table_.Remember({.model = {std::shared_ptr<void>(), &model_},
                     .inputs = r.inputs(),
                     .memory = std::move(memory),
                     .died_on = std::move(on),
                     .died_alone = alone,
                     .survived_on = std::move(survived)},
                    clock_.Now());
  }

  FakeClock clock_;
  const ipc::ModelInfo model_{.name = "m", .version = 1};
  PoisonTable table_{4};
  const Request bad_ = Numbered(1);
};

TEST_F(PoisonTest, OneDeathMakesASuspectAndASecondAlonePoison) {
  EXPECT_FALSE(Find(bad_));
  EXPECT_FALSE(Dies(bad_, {"cuda"}, true));
  ASSERT_TRUE(Find(bad_));
  EXPECT_EQ(Find(bad_)->deaths, 1u);
  EXPECT_FALSE(Find(bad_)->poisonous);
  EXPECT_TRUE(Dies(bad_, {"cuda"}, true));
  EXPECT_TRUE(Find(bad_)->poisonous);
  EXPECT_FALSE(Dies(bad_, {"cpu"}, true)) << "it was already";
}

TEST_F(PoisonTest, WhatIsRememberedIsKnownBeforeItIsEntered) {
  Remember(bad_, {"cuda"}, true);
  ASSERT_TRUE(Find(bad_));
  EXPECT_EQ(Find(bad_)->deaths, 1u);
  EXPECT_FALSE(Find(Numbered(2)));
  Remember(bad_, {"cpu"}, true);
  EXPECT_TRUE(Find(bad_)->poisonous);
  EXPECT_FALSE(table_.EnterOne()->became_poisonous);
  EXPECT_TRUE(Find(bad_)->poisonous) << "one entered, one still pending";
  EXPECT_TRUE(table_.EnterOne()->became_poisonous);
  EXPECT_FALSE(table_.EnterOne());
  EXPECT_TRUE(Find(bad_)->poisonous);
  EXPECT_EQ(table_.size(), 1u);
}

TEST_F(PoisonTest, AClearingCountsBeforeItIsEnteredToo) {
  Dies(bad_, {"cuda"}, true);
  Remember(bad_, {}, false, "cuda");
  EXPECT_FALSE(Find(bad_));
  table_.EnterOne();
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(PoisonTest, BytesAreKeptUntilTheyAreEnteredAndNoLonger) {
  auto memory = std::make_shared<int>(1);
  Remember(bad_, {"cuda"}, true, "", memory);
  EXPECT_EQ(memory.use_count(), 2);
  table_.EnterOne();
  EXPECT_EQ(memory.use_count(), 1);
  Remember(bad_, {"cuda"}, true, "", memory);
  table_.DropPending();
  EXPECT_EQ(memory.use_count(), 1);
}

TEST_F(PoisonTest, WhatIsPendingIsForgottenInTimeToo) {
  Remember(bad_, {"cuda", "cpu"}, true);
  clock_.Advance(kPoisonKept);
  EXPECT_FALSE(Find(bad_));
  table_.EnterOne();
  EXPECT_FALSE(Find(bad_));
}

TEST_F(PoisonTest, EveryRememberedCaseIsANewGeneration) {
  const uint64_t before = table_.generation();
  Remember(bad_, {"cuda"}, true);
  EXPECT_NE(table_.generation(), before);
}

TEST_F(PoisonTest, TooManyPendingLoseTheOldestSuspect) {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(Numbered(static_cast<float>(i)));
  for (int i = 0; i < 5; ++i) Remember(requests[static_cast<size_t>(i)], {"cuda"}, i == 0);
  EXPECT_EQ(table_.size(), 4u);
  EXPECT_TRUE(Find(requests[0]));
  EXPECT_FALSE(Find(requests[1]));
}

TEST_F(PoisonTest, TwoDeathsOfOneLifeCountOnAnyDevices) {
  EXPECT_TRUE(Dies(bad_, {"cuda", "cpu"}, true));
}

TEST_F(PoisonTest, AmongOthersNobodyIsGuilty) {
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Dies(bad_, {"cuda"}, false));
  EXPECT_FALSE(Find(bad_)->poisonous);
  EXPECT_TRUE(Dies(bad_, {"cuda"}, true));
}

TEST_F(PoisonTest, SurvivingTheSameKindClearsAndAnotherDoesNot) {
  Dies(bad_, {"cuda"}, true, "cpu");
  Survives(bad_, "cpu");
  ASSERT_TRUE(Find(bad_)) << "what is harmless on the CPU may end every GPU worker";
  Survives(bad_, "cuda");
  EXPECT_FALSE(Find(bad_));
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_FALSE(Dies(bad_, {"cuda"}, true));
  EXPECT_FALSE(Dies(bad_, {"cpu"}, false, "cpu")) << "cleared by the same life";
  EXPECT_EQ(Find(bad_)->deaths, 1u);
}

TEST_F(PoisonTest, WhatIsPoisonousStaysSo) {
  Dies(bad_, {"cuda", "cuda"}, true);
  Survives(bad_, "cuda");
  EXPECT_TRUE(Find(bad_)->poisonous);
}

TEST_F(PoisonTest, EachIsForgottenInTime) {
  Dies(bad_, {"cuda", "cuda"}, true);
  clock_.Advance(seconds(60));
  Dies(Numbered(2), {"cuda"}, true);
  clock_.Advance(kPoisonKept - seconds(60) - Duration(1));
  EXPECT_TRUE(Find(bad_));
  clock_.Advance(Duration(1));
  EXPECT_FALSE(Find(bad_));
  EXPECT_TRUE(Find(Numbered(2)));
  clock_.Advance(seconds(60));
  EXPECT_FALSE(Find(Numbered(2)));
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(PoisonTest, ADeathKeepsItKnownForLonger) {
  Dies(bad_, {"cuda"}, true);
  clock_.Advance(kPoisonKept - Duration(1));
  EXPECT_TRUE(Dies(bad_, {"cuda"}, true));
  clock_.Advance(kPoisonKept - Duration(1));
  EXPECT_TRUE(Find(bad_));
}

TEST_F(PoisonTest, TheTableIsBoundedAndSuspectsGoFirst) {
  Dies(bad_, {"cuda", "cuda"}, true);
  for (int i = 2; i <= 6; ++i) {
    clock_.Advance(seconds(1));
    Dies(Numbered(static_cast<float>(i)), {"cuda"}, false);
  }
  EXPECT_EQ(table_.size(), 4u);
  EXPECT_TRUE(Find(bad_));
  EXPECT_FALSE(Find(Numbered(2)));
  EXPECT_FALSE(Find(Numbered(3)));
  for (float kept : {4.f, 5.f, 6.f}) EXPECT_TRUE(Find(Numbered(kept))) << kept;
}

TEST_F(PoisonTest, EverythingOfARequestIsInItsFingerprint) {
  const auto digest = [](const ipc::ModelInfo& model, std::vector<ConstTensorView> inputs) {
    return ToHex(FingerprintOf(model, inputs).digest);
  };
  std::vector<float> values(1000);
  std::iota(values.begin(), values.end(), 0.0f);
  const ConstTensorView input{DType::kF32, Shape{1, 1000}, values.data()};
  const std::string whole = digest(model_, {input});
  std::vector<float> other = values;
  other[777] += 1;
  EXPECT_NE(digest(model_, {{DType::kF32, Shape{1, 1000}, other.data()}}), whole);
  EXPECT_NE(digest(model_, {{DType::kI32, Shape{1, 1000}, values.data()}}), whole);
  EXPECT_NE(digest(model_, {{DType::kF32, Shape{1000, 1}, values.data()}}), whole);
  EXPECT_NE(digest(model_, {input, input}), whole);
  EXPECT_NE(digest({.name = "n", .version = 1}, {input}), whole);
  EXPECT_NE(digest({.name = "m", .version = 2}, {input}), whole);
  const std::vector<float> copy = values;
  EXPECT_EQ(digest(model_, {{DType::kF32, Shape{1, 1000}, copy.data()}}), whole);
}

TEST_F(PoisonTest, RequestsThatOnlyLookAlikeAreToldApart) {
  std::vector<float> values(1000);
  const Request poison(values);
  Dies(poison, {"cuda", "cuda"}, true);
  values[2] += 1;  // not among the words of a sketch
  const Request innocent(values);
  ASSERT_EQ(Of(innocent).sketch, Of(poison).sketch);
  EXPECT_FALSE(Find(innocent));
  EXPECT_TRUE(Find(poison));
  EXPECT_FALSE(SameRequest(model_, poison.inputs(), model_, innocent.inputs()));
  EXPECT_TRUE(SameRequest(model_, poison.inputs(), model_, Request(poison.values).inputs()));
}

}  // namespace
}  // namespace fusee::server
