#include "cli/bit_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace fusee::cli {
namespace {

// "output 'y', byte 3 of 400"; empty when all are the same. Precondition: of one size.
std::string Difference(std::string_view name, std::span<const std::byte> want,
                       std::span<const std::byte> got) {
  if (want.empty() || std::memcmp(want.data(), got.data(), want.size()) == 0) return {};
  const auto at = std::ranges::mismatch(want, got).in1 - want.begin();
  return fmt::format("output '{}', byte {} of {}", name, at, want.size());
}

// One row of a batch in an input's memory.
std::span<std::byte> Row(const TensorView& batch, int64_t rows, int64_t row) {
  const auto bytes = static_cast<size_t>(batch.size_bytes() / rows);
  return batch.bytes().subspan(static_cast<size_t>(row) * bytes, bytes);
}

class Positions {
 public:
  Positions(Session& session, int64_t rows) : session_(session), rows_(rows) {}

  Result<PositionReport> Run() {
    const int64_t count = std::min(rows_, kMaxPositions);
    report_ = {.not_checked = "", .rows = rows_};
    for (int64_t i = 0; i < count; ++i) FUSEE_TRY(Try(i * (rows_ - 1) / (count - 1)));
    FUSEE_TRY(session_.MoveInputs());
    return std::move(report_);
  }

 private:
  // The first row changes places with another and back.
  Status Swap(int64_t position) {
    for (size_t i = 0; i < session_.inputs().size() && position > 0; ++i) {
      FUSEE_TRY(const TensorView input, session_.Input(i));
      std::ranges::swap_ranges(Row(input, rows_, 0), Row(input, rows_, position));
    }
    return OkStatus();
  }

  Status Try(int64_t position) {
    FUSEE_TRY(Swap(position));
    Status status = session_.MoveInputs();
    if (status.ok()) status = session_.Run();
    if (status.ok()) status = session_.MoveOutputs();
    FUSEE_TRY(Swap(position));
    FUSEE_TRY(std::move(status));
    std::string difference;
    for (size_t o = 0; o < session_.outputs().size(); ++o) {
      FUSEE_TRY(const ConstTensorView output, session_.Output(o));
      const auto bytes = static_cast<size_t>(output.size_bytes() / rows_);
      const auto row = output.bytes().subspan(static_cast<size_t>(position) * bytes, bytes);
      if (position == 0) first_.emplace_back(row.begin(), row.end());
      if (difference.empty()) difference = Difference(session_.outputs()[o].name, first_[o], row);
    }
    ++report_.positions;
    if (difference.empty()) {
      ++report_.same;
    } else if (report_.difference.empty()) {
      report_.difference =
          fmt::format("position {} of 0 to {}: {} of a row", position, rows_ - 1, difference);
    }
    return OkStatus();
  }

  Session& session_;
  const int64_t rows_;
  std::vector<std::vector<std::byte>> first_;  // the row's outputs in position 0
  PositionReport report_;
};

}  // namespace

Status BitCheck::AfterRun() {
  FUSEE_TRY(session_.MoveOutputs());
  const bool first = first_.empty();
  std::string difference;
  for (size_t o = 0; o < session_.outputs().size(); ++o) {
    FUSEE_TRY(const ConstTensorView output, session_.Output(o));
    const auto bytes = output.bytes();
    if (first) {
      first_.push_back({output.shape, {bytes.begin(), bytes.end()}});
      continue;
    }
    const std::string& name = session_.outputs()[o].name;
    if (!difference.empty()) continue;
    difference = first_[o].shape == output.shape
                     ? Difference(name, first_[o].bytes, bytes)
                     : fmt::format("output '{}' is {}, was {}", name, output.shape.ToString(),
                                   first_[o].shape.ToString());
  }
  ++report_.runs;
  if (difference.empty()) {
    ++report_.same;
  } else if (report_.difference.empty()) {
    report_.difference = fmt::format("run {}: {}", report_.runs, difference);
  }
  return OkStatus();
}

Result<PositionReport> CheckPositions(Session& session) {
  PositionReport none;
  const fusee_plan_info& info = session.info();
  if (info.batch_symbol < 0) {
    none.not_checked = "no one dimension leads every input and output";
  } else if (info.batch_checked == 0) {
    none.not_checked = "the plan's certificate does not say that rows are independent";
  }
  if (info.batch_symbol < 0 || info.batch_checked == 0) return none;
  FUSEE_TRY(const TensorView input, session.Input(0));
  if (input.shape[0] < 2) {
    none.not_checked = "the batch is of one row; --shapes gives it more";
    return none;
  }
  return Positions(session, input.shape[0]).Run();
}

}  // namespace fusee::cli
