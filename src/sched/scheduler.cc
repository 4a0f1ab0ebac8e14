#include "sched/scheduler.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace fusee::sched {
namespace {

constexpr uint32_t kNone = 0xffffffffu;
// How many waiting requests of other shapes a batch looks past for one that fits. Bounds the cost
// when shapes are many.
constexpr int kSkipMax = 64;

}  // namespace

std::string_view RefusalReasonName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kQueueFull: return "queue_full";
    case RefusalReason::kQueueBytes: return "queue_bytes";
    case RefusalReason::kLate: return "late";
    case RefusalReason::kImpossible: return "impossible";
  }
  return "unknown";
}

struct Scheduler::State {
  // A place for one request. The queued ones form two lists in deadline order: all, and per model.
  struct Slot {
    RequestMeta meta;
    Stamps stamps;
    RequestState state = RequestState::kFree;
    uint32_t generation = 0;
    uint32_t next = kNone, previous = kNone;
    uint32_t model_next = kNone, model_previous = kNone;
    uint64_t planned_in = 0;  // the planning walk that last took it
  };

  struct ModelState {
    ModelProfile profile;
    std::array<uint32_t, kLatencyClassesMax> cap{};
    uint32_t first = kNone, last = kNone;
    uint32_t pending = 0;
    bool used = false;
  };

  // What a batch would be; the tickets lie in `chosen`.
  struct Formed {
    uint32_t rows = 0;
    uint32_t count = 0;
    Duration time{};
  };

  // The last batch of the plan, remembered so that the common case (one model, one shape, deadlines
  // in order) admits in O(1): a request at the tail changes nothing before it. Any other move of
  // the queue forgets it.
  struct Tail {
    bool valid = false;
    TimePoint start{};
    uint32_t head = kNone;
    uint32_t rows = 0, count = 0;
  };

  // Outcome of replanning the queue.
  struct Plan {
    uint32_t misses = 0;
    bool candidate_missed = false;
    Duration lateness{};  // of the first miss
  };

  explicit State(const Limits& l) : limits(l), slots(l.requests), models(l.models) {
    for (uint32_t i = l.requests; i-- > 0;) {
      slots[i].next = free_list;
      free_list = i;
    }
  }

  Slot& slot(uint32_t i) { return slots[i]; }
  ModelState& model(ModelIndex i) { return models[i.index()]; }

  Duration Alone(const Slot& s) {
    return model(s.meta.model).profile.latency[s.meta.latency_class].Predict(s.meta.rows);
  }

  bool Shares(const Slot& s) { return model(s.meta.model).profile.batchable && !s.meta.alone; }

  // Deadline order from the tail: with one deadline per model a request belongs at the end, so this
  // is O(1) in practice.
  void Insert(uint32_t i) {
    Slot& s = slot(i);
    uint32_t after = last;
    while (after != kNone && slot(after).meta.deadline > s.meta.deadline)
      after = slot(after).previous;
    s.previous = after;
    s.next = after == kNone ? first : slot(after).next;
    (after == kNone ? first : slot(after).next) = i;
    (s.next == kNone ? last : slot(s.next).previous) = i;

    ModelState& m = model(s.meta.model);
    after = m.last;
    while (after != kNone && slot(after).meta.deadline > s.meta.deadline)
      after = slot(after).model_previous;
    s.model_previous = after;
    s.model_next = after == kNone ? m.first : slot(after).model_next;
    (after == kNone ? m.first : slot(after).model_next) = i;
    (s.model_next == kNone ? m.last : slot(s.model_next).model_previous) = i;
    ++queued;
  }

  void Unlink(uint32_t i) {
    Slot& s = slot(i);
    (s.previous == kNone ? first : slot(s.previous).next) = s.next;
    (s.next == kNone ? last : slot(s.next).previous) = s.previous;
    ModelState& m = model(s.meta.model);
    (s.model_previous == kNone ? m.first : slot(s.model_previous).model_next) = s.model_next;
    (s.model_next == kNone ? m.last : slot(s.model_next).model_previous) = s.model_previous;
    --queued;
    tail.valid = false;
  }

  void Free(uint32_t i) {
    Slot& s = slot(i);
    s.state = RequestState::kFree;
    ++s.generation;
    bytes -= s.meta.bytes;
    --model(s.meta.model).pending;
    s.next = free_list;
    free_list = i;
  }

  // The batch that would start at `start` with `head` as its most urgent member: compatible
  // requests in deadline order, as long as the head still finishes in time. Marks its members with
  // `walk`.
  Formed Form(uint32_t head, TimePoint start, uint64_t walk, uint32_t* chosen) {
    Slot& h = slot(head);
    ModelState& m = model(h.meta.model);
    const LatencyTable& table = m.profile.latency[h.meta.latency_class];
    const bool shares = Shares(h);
    const uint32_t cap = shares ? std::max(m.cap[h.meta.latency_class], h.meta.rows) : h.meta.rows;
    const uint32_t count_max = shares ? kBatchRequestsMax : 1;
    Formed batch;
    int skipped = 0;
    for (uint32_t i = head; i != kNone && batch.count < count_max && skipped < kSkipMax;
         i = slot(i).model_next) {
      Slot& s = slot(i);
      if (s.planned_in == walk) continue;
      if (!(s.meta.shape == h.meta.shape) || batch.rows + s.meta.rows > cap ||
          (i != head && s.meta.alone)) {
        ++skipped;
        continue;
      }
      const Duration time = table.Predict(batch.rows + s.meta.rows);
      if (i != head && start + time > h.meta.deadline) break;
      s.planned_in = walk;
      if (chosen != nullptr) chosen[batch.count] = i;
      ++batch.count;
      batch.rows += s.meta.rows;
      batch.time = time;
      if (batch.rows == cap) break;
    }
    return batch;
  }

  bool SameKind(const Slot& a, const Slot& b) const {
    return a.meta.model == b.meta.model && a.meta.shape == b.meta.shape &&
           a.meta.rows == b.meta.rows && a.meta.latency_class == b.meta.latency_class &&
           a.meta.alone == b.meta.alone;
  }

  // Plays the queue forward from now. A request that cannot make it is left out, as Expire will
  // leave it out.
  Plan Replan(TimePoint now, uint32_t candidate) {
    Plan plan;
    const uint64_t walk = ++walks;
    bool uniform = true;
    tail = {};
    TimePoint t = running ? std::max(now, running_finish) : now;
    for (uint32_t i = first; i != kNone; i = slot(i).next) {
      uniform = uniform && SameKind(slot(i), slot(first));
      Slot& s = slot(i);
      if (s.planned_in == walk) continue;
      if (t + Alone(s) + limits.guard > s.meta.deadline) {
        if (plan.misses++ == 0) plan.lateness = t + Alone(s) + limits.guard - s.meta.deadline;
        if (i == candidate) plan.candidate_missed = true;
        s.planned_in = walk;
        continue;
      }
      const Formed batch = Form(i, t, walk, nullptr);
      tail = {.valid = true, .start = t, .head = i, .rows = batch.rows, .count = batch.count};
      t += batch.time;
    }
    tail.valid = tail.valid && uniform && plan.misses == 0 && running && now <= running_finish;
    return plan;
  }

  // Replan for a request that would stand at the very end of a uniform queue. Precondition:
  // Extends(candidate).
  Plan Extend(uint32_t candidate) {
    Plan plan;
    const Slot& s = slot(candidate);
    ModelState& m = model(s.meta.model);
    const LatencyTable& table = m.profile.latency[s.meta.latency_class];
    const bool shares = Shares(s);
    const uint32_t cap = shares ? std::max(m.cap[s.meta.latency_class], s.meta.rows) : s.meta.rows;
    const Duration longer = table.Predict(tail.rows + s.meta.rows);
    if (tail.count < (shares ? kBatchRequestsMax : 1) && tail.rows + s.meta.rows <= cap &&
        tail.start + longer <= slot(tail.head).meta.deadline) {
      tail.rows += s.meta.rows;
      ++tail.count;
      return plan;
    }
    const TimePoint start = tail.start + table.Predict(tail.rows);
    const Duration alone = table.Predict(s.meta.rows);
    if (start + alone + limits.guard > s.meta.deadline) {
      plan.misses = 1;
      plan.candidate_missed = true;
      plan.lateness = start + alone + limits.guard - s.meta.deadline;
      return plan;
    }
    tail = {.valid = true, .start = start, .head = candidate, .rows = s.meta.rows, .count = 1};
    return plan;
  }
  bool Extends(uint32_t candidate, TimePoint now) const {
    return tail.valid && running && now <= running_finish && slots[candidate].next == kNone &&
           SameKind(slots[candidate], slots[tail.head]);
  }

  Limits limits;
  std::vector<Slot> slots;
  std::vector<ModelState> models;
  uint32_t first = kNone, last = kNone;  // queued requests of all models, by deadline
  uint32_t free_list = kNone;
  uint32_t queued = 0;
  uint64_t bytes = 0;
  uint64_t walks = 0;
  uint64_t batches = 0;
  bool running = false;
  TimePoint running_finish{};
  Tail tail;
};

Scheduler::Scheduler(const Limits& limits) : state_(std::make_unique<State>(limits)) {}
Scheduler::~Scheduler() = default;

Result<ModelIndex> Scheduler::AddModel(const ModelProfile& profile) {
  for (uint32_t i = 0; i < state_->models.size(); ++i) {
    State::ModelState& m = state_->models[i];
    if (m.used) continue;
    m = {};
    m.used = true;
    m.profile = profile;
    for (size_t c = 0; c < kLatencyClassesMax; ++c) {
      uint32_t cap = profile.batchable ? profile.latency[c].Knee(profile.rows_max) : 1;
      // One long batch blocks everybody behind it; a quarter of the shortest deadline keeps that
      // bounded.
      while (cap > 1 && profile.latency[c].Predict(cap) > profile.deadline_min / 4) cap = cap / 2;
      m.cap[c] = std::max(cap, 1u);
    }
    return ModelIndex(i);
  }
  return ResourceExhausted("scheduler: " + std::to_string(state_->models.size()) +
                           " models are loaded already, the limit");
}

void Scheduler::RemoveModel(ModelIndex model) {
  FUSEE_CHECK(state_->model(model).pending == 0, "a model with pending requests was removed");
  state_->model(model).used = false;
}

Admission Scheduler::Admit(const RequestMeta& request, TimePoint now) {
  State& st = *state_;
  FUSEE_DCHECK(st.model(request.model).used, "request for a model that was removed");
  const Duration until_free =
      st.running ? std::max(Duration(0), Duration(st.running_finish - now)) : Duration(0);
  if (st.free_list == kNone) return Refusal{RefusalReason::kQueueFull, until_free, {}};
  if (request.bytes > st.limits.bytes - st.bytes)
    return Refusal{RefusalReason::kQueueBytes, until_free, {}};

  const ModelProfile& profile = st.model(request.model).profile;
  const Duration alone =
      profile.latency[request.latency_class].Predict(request.rows) + st.limits.guard;
  if (alone > request.deadline - request.arrival)
    return Refusal{RefusalReason::kImpossible, {}, alone};

  const uint32_t i = st.free_list;
  State::Slot& s = st.slot(i);
  st.free_list = s.next;
  s.meta = request;
  st.Insert(i);
  const bool extends = st.Extends(i, now);
  const State::Plan with = extends ? st.Extend(i) : st.Replan(now, i);
  if (with.misses > 0) {
    const State::Tail unchanged = st.tail;
    st.Unlink(i);
    if (extends) st.tail = unchanged;
    // Is somebody else late because of this request, or anyway?
    if (with.candidate_missed || with.misses > st.Replan(now, kNone).misses) {
      s.next = st.free_list;
      st.free_list = i;
      return Refusal{RefusalReason::kLate, with.lateness,
                     request.deadline - request.arrival + with.lateness};
    }
    st.Insert(i);
  }
  s.state = RequestState::kQueued;
  s.stamps = {.arrival = request.arrival, .queued = now, .started = {}};
  st.bytes += request.bytes;
  ++st.model(request.model).pending;
  return Ticket{i, s.generation};
}

std::optional<PlannedBatch> Scheduler::NextBatch(TimePoint now) {
  State& st = *state_;
  if (st.running) return std::nullopt;
  for (uint32_t i = st.first; i != kNone; i = st.slot(i).next) {
    if (now + st.Alone(st.slot(i)) > st.slot(i).meta.deadline) continue;  // Expire's business
    std::optional<PlannedBatch> batch(std::in_place);
    std::array<uint32_t, kBatchRequestsMax> chosen;
    const State::Formed formed = st.Form(i, now, ++st.walks, chosen.data());
    batch->id = ++st.batches;
    batch->model = st.slot(i).meta.model;
    batch->rows = formed.rows;
    batch->start = now;
    batch->predicted_finish = now + formed.time;
    batch->count = formed.count;
    for (uint32_t k = 0; k < formed.count; ++k) {
      State::Slot& s = st.slot(chosen[k]);
      st.Unlink(chosen[k]);
      s.state = RequestState::kRunning;
      s.stamps.started = now;
      batch->tickets[k] = Ticket{chosen[k], s.generation};
    }
    st.running = true;
    st.tail.valid = false;
    st.running_finish = batch->predicted_finish;
    return batch;
  }
  return std::nullopt;
}

Duration Scheduler::Complete(const PlannedBatch& batch, TimePoint now, bool learn) {
  State& st = *state_;
  FUSEE_CHECK(st.running, "a batch completed while none was running");
  const Duration took = now - batch.start;
  const RequestMeta& head = st.slot(batch.tickets[0].slot).meta;
  if (learn) st.model(batch.model).profile.latency[head.latency_class].Observe(batch.rows, took);
  for (const Ticket& ticket : batch.requests()) st.Free(ticket.slot);
  st.running = false;
  st.tail.valid = false;
  return took;
}

void Scheduler::Abandon(const PlannedBatch& batch) {
  State& st = *state_;
  FUSEE_CHECK(st.running, "a batch was abandoned while none was running");
  for (const Ticket& ticket : batch.requests()) st.Free(ticket.slot);
  st.running = false;
  st.tail.valid = false;
}

std::optional<Ticket> Scheduler::First() const {
  State& st = *state_;
  if (st.first == kNone) return std::nullopt;
  return Ticket{st.first, st.slot(st.first).generation};
}

size_t Scheduler::Expire(TimePoint now, std::span<Ticket> out) {
  State& st = *state_;
  size_t n = 0;
  for (uint32_t i = st.first; i != kNone && n < out.size();) {
    const uint32_t next = st.slot(i).next;
    if (now + st.Alone(st.slot(i)) > st.slot(i).meta.deadline) {
      out[n++] = Ticket{i, st.slot(i).generation};
      st.Unlink(i);
      st.Free(i);
    }
    i = next;
  }
  return n;
}

bool Scheduler::Cancel(Ticket ticket) {
  State::Slot& s = state_->slot(ticket.slot);
  if (s.generation != ticket.generation || s.state != RequestState::kQueued) return false;
  state_->Unlink(ticket.slot);
  state_->Free(ticket.slot);
  return true;
}

std::optional<TimePoint> Scheduler::NextExpiry() const {
  State& st = *state_;
  if (st.first == kNone) return std::nullopt;
  // Just past the latest start, because a request may start exactly then.
  return st.slot(st.first).meta.deadline - st.Alone(st.slot(st.first)) + Duration(1);
}

const RequestMeta& Scheduler::request(Ticket ticket) const {
  return state_->slot(ticket.slot).meta;
}
Stamps Scheduler::stamps(Ticket ticket) const { return state_->slot(ticket.slot).stamps; }
bool Scheduler::running() const { return state_->running; }
uint32_t Scheduler::queued() const { return state_->queued; }
uint32_t Scheduler::pending(ModelIndex model) const { return state_->model(model).pending; }
uint64_t Scheduler::bytes() const { return state_->bytes; }
const ModelProfile& Scheduler::profile(ModelIndex model) const {
  return state_->model(model).profile;
}

}  // namespace fusee::sched
