// Content encodings gzip and deflate (zlib format, RFC 1950), both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fusee::server {

enum class ContentEncoding : uint8_t { kIdentity, kGzip, kDeflate };

// Of a Content-Encoding header; empty counts as identity.
// Errors: kUnimplemented, with Triton's text.
Result<ContentEncoding> ParseContentEncoding(std::string_view header);
// The encoding a client likes best, by the q-values of its Accept-Encoding header.
ContentEncoding ChooseEncoding(std::string_view accept_encoding);
std::string_view EncodingName(ContentEncoding encoding);

// Errors: kInvalidArgument when the bytes are damaged, cut short, or inflate to more than
// limit_bytes (memory is taken as output appears, never by what the peer claims); kUnavailable when
// reserve refuses. reserve, if given, is asked before memory is taken, with the bytes the result
// will hold from then on (at most limit_bytes).
Result<std::string> Decompress(std::string_view bytes, ContentEncoding encoding,
                               uint64_t limit_bytes,
                               const std::function<bool(uint64_t)>& reserve = {});
// The parts one after another, as one stream.
Result<std::string> Compress(std::span<const std::span<const std::byte>> parts,
                             ContentEncoding encoding);

}  // namespace fusee::server
