#include "plan/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked_math.h"
#include "plan/plan.h"

namespace fusee::plan {
namespace {

static_assert(std::endian::native == std::endian::little,
              "plan files are read in place, little-endian");

constexpr char kMagic[8] = {'F', 'U', 'S', 'E', 'E', 'P', 'L', 'N'};
constexpr uint32_t kFlagsMustUnderstand =
    0xffff0000u;  // the lower half may be ignored by older readers

// The first bytes of the file, as stored.
struct Prologue {
  char magic[8];
  uint32_t format_version;
  uint32_t minimum_reader;
  uint32_t flags;
  uint32_t section_count;
  uint64_t file_bytes;
  std::byte digest[32];  // of the header page with these bytes zero
  uint32_t summary_offset;
  uint32_t summary_length;
  std::byte reserved[56];  // zero
};
static_assert(sizeof(Prologue) == 128);

struct TableEntry {
  uint32_t type;
  uint32_t flags;  // bit 0: required
  uint64_t offset;
  uint64_t length;
  uint64_t alignment;
  std::byte digest[32];
};
static_assert(sizeof(TableEntry) == 64);
constexpr uint32_t kRequired = 1;

size_t SummaryOffset(size_t section_count) {
  return sizeof(Prologue) + section_count * sizeof(TableEntry);
}

template <typename T>
T ReadAt(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

bool AllZero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

Sha256Digest HeaderDigest(std::span<const std::byte> page) {
  constexpr size_t kDigestOffset = offsetof(Prologue, digest);
  constexpr std::byte kZeros[32] = {};
  Sha256Stream stream;
  stream.Update(page.first(kDigestOffset));
  stream.Update(kZeros);
  stream.Update(page.subspan(kDigestOffset + 32));
  return stream.Finish();
}

size_t ChunkCount(uint64_t length) {
  return static_cast<size_t>((length + kChunkBytes - 1) / kChunkBytes);
}

std::span<const std::byte> Chunk(std::span<const std::byte> section, size_t i) {
  const size_t begin = i * kChunkBytes;
  return section.subspan(begin, std::min<size_t>(kChunkBytes, section.size() - begin));
}

Sha256Digest LeafDigest(std::span<const std::byte> chunk) {
  constexpr std::byte kLeaf[1] = {std::byte{0}};
  Sha256Stream stream;
  stream.Update(kLeaf);
  stream.Update(chunk);
  return stream.Finish();
}

Sha256Digest RootDigest(uint64_t length, std::span<const Sha256Digest> leaves) {
  constexpr std::byte kInner[1] = {std::byte{1}};
  Sha256Stream stream;
  stream.Update(kInner);
  stream.Update(std::as_bytes(std::span(&length, 1)));
  stream.Update(std::as_bytes(leaves));
  return stream.Finish();
}

Status CheckTable(std::span<const std::byte> page, const Prologue& prologue,
                  ContainerHeader* header) {
  uint64_t expected_offset = kHeaderBytes;
  for (uint32_t i = 0; i < prologue.section_count; ++i) {
    const auto entry = ReadAt<TableEntry>(page, sizeof(Prologue) + i * sizeof(TableEntry));
    uint64_t end = 0;
    if (entry.offset != expected_offset || !CheckedAdd(entry.offset, entry.length, &end) ||
        end > prologue.file_bytes || entry.alignment != kSectionAlignment ||
        (entry.flags & ~kRequired) != 0) {
      return InvalidArgument(fmt::format(
          "plan header: section {} ({}) at {} with {} bytes, expected at {} within {} bytes", i,
          SectionTypeName(entry.type), entry.offset, entry.length, expected_offset,
          prologue.file_bytes));
    }
    SectionInfo info{entry.type, (entry.flags & kRequired) != 0, entry.offset, entry.length, {}};
    std::memcpy(info.digest.data(), entry.digest, info.digest.size());
    header->sections.push_back(info);
    expected_offset =
        AlignUp(end, kSectionAlignment);  // end <= file_bytes < 2^63, so this cannot wrap
  }
  if (expected_offset != prologue.file_bytes) {
    return InvalidArgument(fmt::format("plan header: sections end at {}, but the file has {} bytes",
                                       expected_offset, prologue.file_bytes));
  }
  return OkStatus();
}

}  // namespace

std::string SectionTypeName(uint32_t type) {
  switch (static_cast<SectionType>(type)) {
    case SectionType::kProgram: return "program";
    case SectionType::kWeights: return "weights";
    case SectionType::kCertificate: return "certificate";
    case SectionType::kRecord: return "record";
    case SectionType::kVendor: return "vendor";
  }
  return fmt::format("section {}", type);
}

std::string IsaText(uint8_t isa) {
  constexpr const char* kNames[] = {"none", "avx2", "avx512", "vnni", "bf16", "amx"};
  return isa < std::size(kNames) ? kNames[isa] : fmt::format("isa {}", isa);
}

size_t SummaryCapacity(size_t section_count) { return kHeaderBytes - SummaryOffset(section_count); }

Sha256Digest SectionDigest(std::span<const std::byte> section) {
  std::vector<Sha256Digest> leaves(ChunkCount(section.size()));
  for (size_t i = 0; i < leaves.size(); ++i) leaves[i] = LeafDigest(Chunk(section, i));
  return RootDigest(section.size(), leaves);
}

std::vector<std::byte> BuildContainer(std::span<const SectionBytes> sections,
                                      std::span<const std::byte> summary, uint32_t minimum_reader) {
  FUSEE_CHECK(sections.size() <= kMaxSections && summary.size() <= SummaryCapacity(sections.size()),
              "plan header overflows its page");
  Prologue prologue{};
  std::memcpy(prologue.magic, kMagic, sizeof(kMagic));
  prologue.format_version = kFormatVersion;
  prologue.minimum_reader = minimum_reader;
  prologue.section_count = static_cast<uint32_t>(sections.size());
  prologue.summary_offset = static_cast<uint32_t>(SummaryOffset(sections.size()));
  prologue.summary_length = static_cast<uint32_t>(summary.size());

  std::vector<TableEntry> table;
  uint64_t offset = kHeaderBytes;
  for (const SectionBytes& s : sections) {
    TableEntry entry{};
    entry.type = static_cast<uint32_t>(s.type);
    entry.flags = s.required ? kRequired : 0;
    entry.offset = offset;
    entry.length = s.bytes.size();
    entry.alignment = kSectionAlignment;
    table.push_back(entry);
    offset = AlignUp(offset + s.bytes.size(), kSectionAlignment);
  }
  prologue.file_bytes = offset;

  std::vector<std::byte> file(offset);  // zeroed, so padding is
  for (size_t i = 0; i < sections.size(); ++i) {
    std::ranges::copy(sections[i].bytes, file.begin() + static_cast<ptrdiff_t>(table[i].offset));
  }
  std::memcpy(file.data(), &prologue, sizeof(prologue));
  if (!table.empty()) {
    std::memcpy(file.data() + sizeof(Prologue), table.data(), table.size() * sizeof(TableEntry));
  }
  std::ranges::copy(summary, file.begin() + prologue.summary_offset);
  FUSEE_CHECK(Reseal(file), "a container just built has broken bounds");
  return file;
}

Result<ContainerHeader> ReadContainerHeader(std::span<const std::byte> prefix,
                                            std::optional<uint64_t> file_bytes) {
  if (prefix.size() >= sizeof(kMagic) && std::memcmp(prefix.data(), kMagic, sizeof(kMagic)) != 0) {
    return InvalidArgument(
        "not a plan: the first 8 bytes are not \"FUSEEPLN\"; build one with 'fusee build "
        "MODEL.onnx'");
  }
  if (prefix.size() < kHeaderBytes) {
    return DataLoss(
        fmt::format("plan is truncated: {} bytes, the header alone has {}; copy or build it again",
                    prefix.size(), kHeaderBytes));
  }
  const std::span<const std::byte> page = prefix.first(kHeaderBytes);
  const auto prologue = ReadAt<Prologue>(page, 0);
  const Sha256Digest digest = HeaderDigest(page);
  if (std::memcmp(digest.data(), prologue.digest, digest.size()) != 0) {
    return DataLoss("plan header is damaged: its SHA-256 differs; copy or build the plan again");
  }
  if (prologue.minimum_reader > kFormatVersion || (prologue.flags & kFlagsMustUnderstand) != 0) {
    return FailedPrecondition(
        fmt::format("plan format {} needs a reader of format {} or newer, this one reads up to {}; "
                    "upgrade fusee or rebuild the plan",
                    prologue.format_version, prologue.minimum_reader, kFormatVersion));
  }
  if (file_bytes.has_value() && *file_bytes != prologue.file_bytes) {
    return DataLoss(
        fmt::format("plan file has {} bytes, its header says {}; copy or build it again",
                    *file_bytes, prologue.file_bytes));
  }
  if (prologue.section_count > kMaxSections || prologue.file_bytes >= (uint64_t{1} << 62)) {
    return InvalidArgument(
        fmt::format("plan header: {} sections and {} bytes, expected at most {} sections",
                    prologue.section_count, prologue.file_bytes, kMaxSections));
  }
  ContainerHeader header{
      prologue.format_version, prologue.minimum_reader, prologue.file_bytes, digest, {}, {}};
  FUSEE_TRY(CheckTable(page, prologue, &header));
  const size_t summary_offset = SummaryOffset(prologue.section_count);
  if (prologue.summary_offset != summary_offset ||
      prologue.summary_length > kHeaderBytes - summary_offset) {
    return InvalidArgument(
        fmt::format("plan header: summary at {} with {} bytes does not fit into {}",
                    prologue.summary_offset, prologue.summary_length, kHeaderBytes));
  }
  header.summary = page.subspan(summary_offset, prologue.summary_length);
  return header;
}

Status CheckSections(std::span<const std::byte> bytes, const ContainerHeader& header,
                     TaskRunner runner) {
  struct Leaf {
    std::span<const std::byte> chunk;
    Sha256Digest digest;
  };
  std::vector<Leaf> leaves;
  for (const SectionInfo& s : header.sections) {
    const auto section = bytes.subspan(s.offset, s.length);
    for (size_t i = 0; i < ChunkCount(s.length); ++i) leaves.push_back({Chunk(section, i), {}});
  }
  const auto digest_leaf = [](void* context, int64_t i) {
    Leaf& leaf = static_cast<Leaf*>(context)[i];
    leaf.digest = LeafDigest(leaf.chunk);
  };
  const auto count = static_cast<int64_t>(leaves.size());
  if (runner.run != nullptr) {
    runner.run(runner.self, count, digest_leaf, leaves.data());
  } else {
    for (int64_t i = 0; i < count; ++i) digest_leaf(leaves.data(), i);
  }

  size_t next = 0;
  for (const SectionInfo& s : header.sections) {
    std::vector<Sha256Digest> section_leaves;
    for (size_t i = 0; i < ChunkCount(s.length); ++i)
      section_leaves.push_back(leaves[next++].digest);
    if (RootDigest(s.length, section_leaves) != s.digest) {
      return DataLoss(fmt::format(
          "plan section '{}' is damaged: its SHA-256 differs; copy or build the plan again",
          SectionTypeName(s.type)));
    }
    const uint64_t end = s.offset + s.length;
    if (!AllZero(bytes.subspan(end, AlignUp(end, kSectionAlignment) - end))) {
      return DataLoss(fmt::format(
          "plan padding behind section '{}' is damaged: not zero; copy or build the plan again",
          SectionTypeName(s.type)));
    }
  }
  return OkStatus();
}

bool Reseal(std::span<std::byte> file) {
  if (file.size() < kHeaderBytes) return false;
  const auto prologue = ReadAt<Prologue>(file, 0);
  if (prologue.section_count > kMaxSections) return false;
  for (uint32_t i = 0; i < prologue.section_count; ++i) {
    const size_t at = sizeof(Prologue) + i * sizeof(TableEntry);
    const auto entry = ReadAt<TableEntry>(file, at);
    if (entry.offset > file.size() || entry.length > file.size() - entry.offset) return false;
    const Sha256Digest digest = SectionDigest(file.subspan(entry.offset, entry.length));
    std::ranges::copy(digest,
                      file.begin() + static_cast<ptrdiff_t>(at + offsetof(TableEntry, digest)));
  }
  const Sha256Digest digest = HeaderDigest(file.first(kHeaderBytes));
  std::ranges::copy(digest, file.begin() + static_cast<ptrdiff_t>(offsetof(Prologue, digest)));
  return true;
}

}  // namespace fusee::plan
