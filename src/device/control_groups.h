// The control groups that limit this process, and how their numbers read. Used by cpu_limits.cc and
// memory_limits.cc: a group's ancestors limit it too, so every reader has to look at all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace fusee {

enum class GroupVersion : uint8_t { kV1, kV2 };

// Calls look(folder, version) for each folder below root + "/sys/fs/cgroup" that may hold limits of
// this controller ("cpu", "memory"): the process's own group, then each ancestor up to the mount.
// Where the list of groups is hidden, or names a group outside this process's view of the tree, the
// mount stands for it. The folders need not exist. root is for tests.
void ForEachControlGroup(
    const std::string& root, std::string_view controller,
    const std::function<void(const std::string& folder, GroupVersion version)>& look);

// The decimal number at the start of text; none when there is none or it does not fit ("max").
std::optional<uint64_t> LeadingNumber(std::string_view text);

}  // namespace fusee
