#include "cli/background_streams.h"

#include <cstring>

namespace fusee::cli {
namespace {

Status CopyInputs(Session& from, Session& to) {
  for (size_t i = 0; i < from.inputs().size(); ++i) {
    if (from.inputs()[i].pinned) continue;
    FUSEE_TRY(const TensorView source, from.Input(i));
    FUSEE_TRY(to.SetShape(i, source.shape));
    FUSEE_TRY(const TensorView target, to.Input(i));
    if (source.size_bytes() > 0) std::memcpy(target.data, source.data, source.bytes().size());
  }
  return to.MoveInputs();
}

}  // namespace

Result<BackgroundStreams> BackgroundStreams::Start(Session& session, const SessionOptions& options,
                                                   int count) {
  BackgroundStreams result;
  for (int i = 0; i < count; ++i) {
    auto stream = std::make_unique<Stream>();
    FUSEE_TRY(stream->session, session.Another(options));
    FUSEE_TRY(CopyInputs(session, *stream->session));
    FUSEE_TRY(stream->session->Run());  // whatever a first run takes is over before the timing
    result.streams_.push_back(std::move(stream));
  }
  result.start_ = SteadyClock().Now();
  for (const auto& stream : result.streams_) {
    stream->thread = std::thread([s = stream.get()] {
      while (s->status.ok() && !s->stop.load(std::memory_order_relaxed)) {
        s->status = s->session->Run();
        s->runs.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  return result;
}

Status BackgroundStreams::Stop() {
  for (const auto& s : streams_) s->stop.store(true, std::memory_order_relaxed);
  if (seconds_ == 0) seconds_ = std::chrono::duration<double>(SteadyClock().Now() - start_).count();
  Status first;
  for (const auto& s : streams_) {
    if (s->thread.joinable()) s->thread.join();
    if (first.ok()) first = s->status;
  }
  return first;
}

size_t BackgroundStreams::runs() const {
  size_t runs = 0;
  for (const auto& s : streams_) runs += s->runs.load(std::memory_order_relaxed);
  return runs;
}

}  // namespace fusee::cli
