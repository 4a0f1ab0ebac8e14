// The container of a plan file: header page, section table, sections, padding, digests. Knows
// nothing of what the sections mean. docs/plan_format.md draws it. Internal to this room, its tests
// and its fuzz target.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "plan/decode.h"
#include "plan/header.h"

namespace fusee::plan {

inline constexpr uint64_t kChunkBytes = 1u << 20;  // leaf of the digest tree

struct SectionBytes {
  SectionType type;
  bool required;
  std::span<const std::byte> bytes;
};

// Largest summary that fits beside that many sections.
size_t SummaryCapacity(size_t section_count);

// The whole file. minimum_reader: the oldest format whose readers understand it. Precondition:
// summary.size() <= SummaryCapacity(sections.size()), sections.size() <= kMaxSections.
std::vector<std::byte> BuildContainer(std::span<const SectionBytes> sections,
                                      std::span<const std::byte> summary,
                                      uint32_t minimum_reader = kMinimumReader);

struct ContainerHeader {
  uint32_t format_version = 0;
  uint32_t minimum_reader = 0;
  uint64_t file_bytes = 0;
  Sha256Digest file_digest{};
  std::vector<SectionInfo> sections;
  std::span<const std::byte> summary;  // into the prefix
};

// Checks the header page: magic, digest, versions, table (ascending, aligned, without gaps beyond
// padding, in bounds).
Result<ContainerHeader> ReadContainerHeader(std::span<const std::byte> prefix,
                                            std::optional<uint64_t> file_bytes);

// Checks every section's digest and that all padding is zero. bytes is the whole file.
Status CheckSections(std::span<const std::byte> bytes, const ContainerHeader& header,
                     TaskRunner runner);

// Root of the tree over a section: SHA-256(0x01, length as u64, leaves), leaf = SHA-256(0x00,
// chunk).
Sha256Digest SectionDigest(std::span<const std::byte> section);

// Recomputes all digests of a file whose header fields are in bounds, so that tests and the fuzzer
// get past them; false when the header is too broken to do so.
bool Reseal(std::span<std::byte> file);

}  // namespace fusee::plan
