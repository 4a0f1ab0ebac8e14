#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace
// noinline: GCC warns of a mismatch when it inlines one of the pair and not the other.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace fusee::sched {
namespace {

using std::chrono::milliseconds;

// L(b) = base + per_row * b, as two points of a table.
ModelProfile Linear(Duration base, Duration per_row, uint32_t rows_max) {
  ModelProfile profile;
  profile.rows_max = rows_max;
  profile.batchable = rows_max > 1;
  const LatencyPoint points[] = {{1, base + per_row}, {rows_max, base + per_row * rows_max}};
  profile.latency[0] = LatencyTable(std::span(points, rows_max > 1 ? 2 : 1));
  return profile;
}

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest() : scheduler_({.requests = 8, .bytes = 1000, .models = 2, .guard = Duration(0)}) {}

  ModelIndex Add(const ModelProfile& profile) { return scheduler_.AddModel(profile).value(); }
  RequestMeta Request(ModelIndex model, Duration deadline, uint32_t rows = 1) {
    return {.model = model,
            .arrival = clock_.Now(),
            .deadline = clock_.Now() + deadline,
            .rows = rows,
            .bytes = 10};
  }
  Ticket Admitted(const RequestMeta& request) {
    const Admission admission = scheduler_.Admit(request, clock_.Now());
    EXPECT_TRUE(std::holds_alternative<Ticket>(admission));
    return std::holds_alternative<Ticket>(admission) ? std::get<Ticket>(admission) : Ticket{};
  }
  Refusal Refused(const RequestMeta& request) {
    const Admission admission = scheduler_.Admit(request, clock_.Now());
    EXPECT_TRUE(std::holds_alternative<Refusal>(admission));
    return std::holds_alternative<Refusal>(admission) ? std::get<Refusal>(admission) : Refusal{};
  }

  FakeClock clock_;
  Scheduler scheduler_;
};

TEST_F(SchedulerTest, RunsARequestThroughEveryState) {
  const ModelIndex m = Add(Linear(milliseconds(1), milliseconds(9), 8));
  const TimePoint arrival = clock_.Now();
  const Ticket ticket = Admitted(Request(m, milliseconds(100)));
  EXPECT_EQ(scheduler_.queued(), 1u);
  clock_.Advance(milliseconds(3));
  const auto batch = scheduler_.NextBatch(clock_.Now());
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->count, 1u);
  EXPECT_EQ(batch->tickets[0], ticket);
  EXPECT_EQ(batch->predicted_finish - batch->start, milliseconds(10));
  EXPECT_EQ(scheduler_.stamps(ticket).queued, arrival);
  EXPECT_EQ(scheduler_.stamps(ticket).started, arrival + milliseconds(3));
  EXPECT_FALSE(scheduler_.NextBatch(clock_.Now())) << "one batch at a time";
  clock_.Advance(milliseconds(10));
  EXPECT_EQ(scheduler_.Complete(*batch, clock_.Now()), milliseconds(10));
  EXPECT_EQ(scheduler_.pending(m), 0u);
  EXPECT_EQ(scheduler_.bytes(), 0u);
}

TEST_F(SchedulerTest, LearnsNothingFromABatchThatWaitedForSomethingElse) {
  const ModelIndex m = Add(Linear(milliseconds(8), milliseconds(1), 8));
  const auto ran = [&](bool learn) {
    Admitted(Request(m, milliseconds(1000)));
    const auto batch = scheduler_.NextBatch(clock_.Now());
    clock_.Advance(milliseconds(15));
    EXPECT_EQ(scheduler_.Complete(*batch, clock_.Now(), learn), milliseconds(15));
    return scheduler_.profile(m).latency[0].correction();
  };
  EXPECT_EQ(ran(false), 1.0);
  EXPECT_GT(ran(true), 1.0);
}

TEST_F(SchedulerTest, BatchesWhatWaitsWhileTheDeviceIsBusy) {
  const ModelIndex m = Add(Linear(milliseconds(8), milliseconds(1), 8));
  Admitted(Request(m, milliseconds(1000)));
  const auto first = scheduler_.NextBatch(clock_.Now());
  for (int i = 0; i < 3; ++i) Admitted(Request(m, milliseconds(1000), 2));
  clock_.Advance(milliseconds(9));
  scheduler_.Complete(*first, clock_.Now());
  const auto second = scheduler_.NextBatch(clock_.Now());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->count, 3u);
  EXPECT_EQ(second->rows, 6u);
}

TEST_F(SchedulerTest, ServesTheEarliestDeadlineFirst) {
  const ModelIndex m = Add(Linear(milliseconds(1), milliseconds(1), 1));
  Admitted(Request(m, milliseconds(500)));
  const Ticket urgent = Admitted(Request(m, milliseconds(50)));
  const auto batch = scheduler_.NextBatch(clock_.Now());
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->tickets[0], urgent);
}

TEST_F(SchedulerTest, NeverBatchesDifferentShapes) {
  const ModelIndex m = Add(Linear(milliseconds(8), milliseconds(1), 8));
  RequestMeta a = Request(m, milliseconds(500)), b = a;
  b.shape.low = 7;
  Admitted(a);
  Admitted(b);
  Admitted(a);
  const auto first = scheduler_.NextBatch(clock_.Now());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->count, 2u);
  scheduler_.Complete(*first, clock_.Now());
  const auto second = scheduler_.NextBatch(clock_.Now());
  ASSERT_TRUE(second);
  EXPECT_EQ(scheduler_.request(second->tickets[0]).shape.low, 7u);
}

TEST_F(SchedulerTest, RefusesWhenPredictedFinishPassesDeadline) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(10), 1));
  for (int i = 0; i < 3; ++i) Admitted(Request(m, milliseconds(35)));
  const Refusal refusal = Refused(Request(m, milliseconds(35)));
  EXPECT_EQ(refusal.reason, RefusalReason::kLate);
  EXPECT_EQ(refusal.retry_after, milliseconds(5)) << "the fourth would finish at 40 ms";
  EXPECT_EQ(scheduler_.queued(), 3u);
}

TEST_F(SchedulerTest, RefusesWhatWouldMakeAnAdmittedRequestLate) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(10), 1));
  Admitted(Request(m, milliseconds(25)));
  Admitted(Request(m, milliseconds(25)));
  EXPECT_EQ(Refused(Request(m, milliseconds(12))).reason, RefusalReason::kLate);
  Admitted(Request(m, milliseconds(30)));  // behind both: nobody is hurt
}

TEST_F(SchedulerTest, RefusesADeadlineShorterThanTheModel) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(10), 1));
  const Refusal refusal = Refused(Request(m, milliseconds(9)));
  EXPECT_EQ(refusal.reason, RefusalReason::kImpossible);
  EXPECT_EQ(refusal.retry_after, Duration(0));
}

TEST_F(SchedulerTest, BoundsCountAndBytes) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(1), 1));
  RequestMeta large = Request(m, milliseconds(1000));
  large.bytes = 995;
  const Ticket ticket = Admitted(large);
  EXPECT_EQ(Refused(Request(m, milliseconds(1000))).reason, RefusalReason::kQueueBytes);
  EXPECT_TRUE(scheduler_.Cancel(ticket));
  EXPECT_FALSE(scheduler_.Cancel(ticket)) << "a ticket is good once";
  for (int i = 0; i < 8; ++i) Admitted(Request(m, milliseconds(1000)));
  EXPECT_EQ(Refused(Request(m, milliseconds(1000))).reason, RefusalReason::kQueueFull);
}

TEST_F(SchedulerTest, ExpiresWhatCanNoLongerMakeIt) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(10), 1));
  Admitted(Request(m, milliseconds(100)));
  ASSERT_TRUE(scheduler_.NextBatch(clock_.Now()));
  const Ticket waiting = Admitted(Request(m, milliseconds(30)));
  clock_.Advance(milliseconds(20));  // the running batch overruns its 10 ms
  std::array<Ticket, 4> expired;
  EXPECT_EQ(scheduler_.Expire(clock_.Now(), expired), 0u) << "20 + 10 = 30 is in time";
  EXPECT_EQ(scheduler_.NextExpiry(), clock_.Now() + Duration(1));
  clock_.Advance(Duration(1));
  ASSERT_EQ(scheduler_.Expire(clock_.Now(), expired), 1u);
  EXPECT_EQ(expired[0], waiting);
  EXPECT_EQ(scheduler_.queued(), 0u);
  EXPECT_FALSE(scheduler_.NextExpiry());
}

TEST_F(SchedulerTest, KeepsAdmittingBehindARequestThatIsLostAnyway) {
  const ModelIndex m = Add(Linear(milliseconds(0), milliseconds(10), 1));
  Admitted(Request(m, milliseconds(100)));
  ASSERT_TRUE(scheduler_.NextBatch(clock_.Now()));
  Admitted(Request(m, milliseconds(20)));
  clock_.Advance(milliseconds(15));  // now the second is lost
  Admitted(Request(m, milliseconds(50)));
}

// The O(1) path of a uniform queue must decide as a full replanning does; a request of another
// shape at the tail turns it off, and a scheduler that sees one before each decision is the
// reference.
TEST_F(SchedulerTest, AdmitsAtTheTailAsAFullReplanningWould) {
  const ModelProfile profile = Linear(milliseconds(2), milliseconds(1), 4);
  const auto decisions = [&](bool disturb) {
    Scheduler scheduler({.requests = 64, .bytes = 1 << 20, .models = 1, .guard = milliseconds(1)});
    const ModelIndex m = scheduler.AddModel(profile).value();
    const TimePoint start = clock_.Now();
    std::string made;
    std::optional<PlannedBatch> running;
    for (int step = 0; step < 400; ++step) {
      const TimePoint now = start + std::chrono::microseconds(700 * step);
      if (running && now >= running->predicted_finish) {
        scheduler.Complete(*running, now);
        running.reset();
      }
      std::array<Ticket, 64> expired;
      (void)scheduler.Expire(now, expired);
      if (!running) running = scheduler.NextBatch(now);
      const RequestMeta request{
          .model = m, .arrival = now, .deadline = now + milliseconds(8 + step % 3), .bytes = 1};
      if (disturb) {
        RequestMeta other = request;
        other.shape.low = 1;
        other.deadline = now + std::chrono::hours(1);
        const Admission admission = scheduler.Admit(other, now);
        const Admission decided = scheduler.Admit(request, now);
        made += std::holds_alternative<Ticket>(decided) ? '1' : '0';
        scheduler.Cancel(std::get<Ticket>(admission));
      } else {
        made += std::holds_alternative<Ticket>(scheduler.Admit(request, now)) ? '1' : '0';
      }
    }
    return made;
  };
  const std::string fast = decisions(false), full = decisions(true);
  EXPECT_EQ(fast, full);
  EXPECT_NE(fast.find('0'), std::string::npos);
  EXPECT_NE(fast.find('1'), std::string::npos);
}

TEST_F(SchedulerTest, AllocatesNothingAfterConstruction) {
  const ModelProfile profile = Linear(milliseconds(1), milliseconds(1), 4);
  const ModelIndex m = Add(profile);
  const uint64_t before = allocations;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 10; ++i) (void)scheduler_.Admit(Request(m, milliseconds(12)), clock_.Now());
    std::array<Ticket, 4> expired;
    (void)scheduler_.Expire(clock_.Now(), expired);
    if (const auto batch = scheduler_.NextBatch(clock_.Now())) {
      clock_.Advance(milliseconds(5));
      scheduler_.Complete(*batch, clock_.Now());
    }
  }
  EXPECT_EQ(allocations, before);
}

TEST(LatencyTable, InterpolatesExtrapolatesAndStaysMonotone) {
  const LatencyPoint points[] = {
      {1, milliseconds(10)}, {8, milliseconds(80)}, {16, milliseconds(70)}};
  LatencyTable table(points);
  EXPECT_EQ(table.Predict(1), milliseconds(10));
  EXPECT_EQ(table.Predict(4), milliseconds(40));
  EXPECT_EQ(table.Predict(16), milliseconds(80)) << "a faster larger batch is noise";
  EXPECT_EQ(LatencyTable(std::span(points, 2)).Predict(16), milliseconds(160));
  EXPECT_EQ(LatencyTable(std::span(points, 1)).Predict(3), milliseconds(30));
}

TEST(LatencyTable, FollowsTheMachineWithinBounds) {
  const LatencyPoint points[] = {{1, milliseconds(10)}};
  LatencyTable table(points);
  table.Observe(1, milliseconds(5));
  EXPECT_EQ(table.Predict(1), milliseconds(10)) << "never more optimistic than the certificate";
  table.Observe(1, milliseconds(15));
  EXPECT_EQ(table.Predict(1), milliseconds(15));
  table.Observe(1, milliseconds(1000));
  EXPECT_EQ(table.Predict(1), milliseconds(20));
  for (int i = 0; i < kCorrectionWindow; ++i) table.Observe(1, milliseconds(10));
  EXPECT_EQ(table.Predict(1), milliseconds(10)) << "outliers leave the window";
}

TEST(LatencyTable, LearnsWhenNothingIsKnown) {
  LatencyTable table;
  EXPECT_EQ(table.Predict(5), Duration(0));
  table.Observe(5, milliseconds(3));
  EXPECT_EQ(table.Predict(1), milliseconds(3));
}

TEST(LatencyTable, KneeStopsWhereThroughputStops) {
  const LatencyPoint linear[] = {{1, milliseconds(10)},
                                 {8, milliseconds(73)}};  // 1 + 9b: batching gains little
  EXPECT_LE(LatencyTable(linear).Knee(8), 4u);
  const LatencyPoint flat[] = {{1, milliseconds(10)}, {8, milliseconds(10)}};
  EXPECT_EQ(LatencyTable(flat).Knee(8), 8u);
  EXPECT_EQ(LatencyTable().Knee(8), 8u);
}

TEST_F(SchedulerTest, ARequestThatMustRunAloneSharesItsBatchWithNobody) {
  const ModelIndex model = Add(Linear(milliseconds(1), milliseconds(1), 8));
  RequestMeta suspect = Request(model, milliseconds(500));
  suspect.alone = true;
  const Ticket first = Admitted(Request(model, milliseconds(100)));
  const Ticket alone = Admitted(suspect);
  const Ticket second = Admitted(Request(model, milliseconds(900)));
  const Ticket twin = Admitted(suspect);
  std::vector<std::vector<uint32_t>> batches;
  while (const auto batch = scheduler_.NextBatch(clock_.Now())) {
    auto& slots = batches.emplace_back();
    for (const Ticket& t : batch->requests()) slots.push_back(t.slot);
    clock_.Advance(milliseconds(1));
    scheduler_.Complete(*batch, clock_.Now());
  }
  EXPECT_EQ(batches, (std::vector<std::vector<uint32_t>>{
                         {first.slot, second.slot}, {alone.slot}, {twin.slot}}));
}

// Admission must know that they do not share: 1 + 1 ms each, one after another.
TEST_F(SchedulerTest, RequestsThatRunAloneAreBookedOneAfterAnother) {
  const ModelIndex model = Add(Linear(milliseconds(1), milliseconds(1), 8));
  for (const bool running : {false, true}) {
    RequestMeta suspect = Request(model, milliseconds(running ? 9 : 7));
    suspect.alone = true;
    if (running) {  // the short way of admitting at a queue's tail
      while (const auto batch = scheduler_.NextBatch(clock_.Now()))
        scheduler_.Complete(*batch, clock_.Now());
      Admitted(Request(model, milliseconds(100)));
      ASSERT_TRUE(scheduler_.NextBatch(clock_.Now()));
    }
    for (int i = 0; i < 3; ++i) Admitted(suspect);
    EXPECT_EQ(Refused(suspect).reason, RefusalReason::kLate) << running;
  }
}

}  // namespace
}  // namespace fusee::sched
