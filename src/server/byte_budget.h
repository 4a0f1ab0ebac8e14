// Bytes that peers make the server hold, counted against one limit before they are taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace fusee::server {

// Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(uint64_t limit) : limit_(limit) {}

  // False, and nothing taken, when the sum would pass the limit.
  bool Take(uint64_t bytes) {
    uint64_t taken = taken_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ - taken) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
    return true;
  }
  void Give(uint64_t bytes) { taken_.fetch_sub(bytes, std::memory_order_relaxed); }

  uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> taken_{0};
};

// What one owner holds of a budget; given back with it. Without a budget (default) everything is
// granted. Not thread-safe; the budget is shared, because a late owner may outlive its listener.
class ByteReservation {
 public:
  ByteReservation() = default;
  explicit ByteReservation(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
  ByteReservation(ByteReservation&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteReservation& operator=(ByteReservation&& other) noexcept {
    if (this == &other) return *this;
    if (budget_) budget_->Give(bytes_);
    budget_ = std::move(other.budget_);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~ByteReservation() {
    if (budget_) budget_->Give(bytes_);
  }

  // Holds this many bytes from now on. False, and nothing changed, when they are not there; less
  // than before always succeeds.
  bool Resize(uint64_t bytes) {
    if (budget_ && bytes > bytes_ && !budget_->Take(bytes - bytes_)) return false;
    if (budget_ && bytes < bytes_) budget_->Give(bytes_ - bytes);
    bytes_ = bytes;
    return true;
  }
  uint64_t bytes() const { return bytes_; }
  // Whether this many would be granted if nobody else held any.
  bool Possible(uint64_t bytes) const { return !budget_ || bytes <= budget_->limit(); }

 private:
  std::shared_ptr<ByteBudget> budget_;
  uint64_t bytes_ = 0;
};

}  // namespace fusee::server
