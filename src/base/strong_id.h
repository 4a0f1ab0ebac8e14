// A typed index: ValueId, NodeId and so on convert to and from integers only explicitly, so that
// one kind of index cannot stand where another is meant.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace fusee {

template <typename Tag>
class StrongId {
 public:
  constexpr StrongId() = default;  // invalid
  constexpr explicit StrongId(uint32_t index) : index_(index) {}
  constexpr bool valid() const { return index_ != kInvalid; }
  constexpr uint32_t index() const { return index_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  static constexpr uint32_t kInvalid = 0xffffffffu;
  uint32_t index_ = kInvalid;
};

}  // namespace fusee

template <typename Tag>
struct std::hash<fusee::StrongId<Tag>> {
  size_t operator()(fusee::StrongId<Tag> id) const noexcept { return id.index(); }
};
