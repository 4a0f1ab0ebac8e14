#include "server/compression.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>

namespace fusee::server {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say: gzip wrapper
constexpr int kZlibWindow = 15;
constexpr int kCompressionLevel =
    Z_BEST_SPEED;  // tensors compress badly anyway, and a request is waiting

std::string_view Trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

int Window(ContentEncoding encoding) {
  return encoding == ContentEncoding::kGzip ? kGzipWindow : kZlibWindow;
}

}  // namespace

std::string_view EncodingName(ContentEncoding encoding) {
  switch (encoding) {
    case ContentEncoding::kIdentity: return "identity";
    case ContentEncoding::kGzip: return "gzip";
    case ContentEncoding::kDeflate: return "deflate";
  }
  return "identity";
}

Result<ContentEncoding> ParseContentEncoding(std::string_view header) {
  header = Trimmed(header);
  if (header.empty()) return ContentEncoding::kIdentity;
  for (auto encoding :
       {ContentEncoding::kIdentity, ContentEncoding::kGzip, ContentEncoding::kDeflate}) {
    if (header == EncodingName(encoding)) return encoding;
  }
  return Unimplemented("Unsupported compression type");
}

ContentEncoding ChooseEncoding(std::string_view accept_encoding) {
  ContentEncoding best = ContentEncoding::kIdentity;
  double best_weight = 0;
  while (!accept_encoding.empty()) {
    const size_t comma = accept_encoding.find(',');
    std::string_view item = Trimmed(accept_encoding.substr(0, comma));
    accept_encoding.remove_prefix(comma == accept_encoding.npos ? accept_encoding.size()
                                                                : comma + 1);
    double weight = 1;
    if (const size_t semicolon = item.find(';'); semicolon != item.npos) {
      const std::string_view parameter = Trimmed(item.substr(semicolon + 1));
      item = Trimmed(item.substr(0, semicolon));
      if (!parameter.starts_with("q=")) continue;
      const auto read =
          std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), weight);
      if (read.ec != std::errc()) continue;
    }
    for (auto encoding :
         {ContentEncoding::kIdentity, ContentEncoding::kGzip, ContentEncoding::kDeflate}) {
      if (item == EncodingName(encoding) && weight > best_weight) {
        best = encoding;
        best_weight = weight;
      }
    }
  }
  return best;
}

Result<std::string> Decompress(std::string_view bytes, ContentEncoding encoding,
                               uint64_t limit_bytes, const std::function<bool(uint64_t)>& reserve) {
  if (encoding == ContentEncoding::kIdentity) return std::string(bytes);
  z_stream stream{};
  if (inflateInit2(&stream, Window(encoding)) != Z_OK) return Internal("zlib: inflateInit2 failed");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int code = Z_OK;
  bool granted = true;
  const uint64_t most = limit_bytes + 1;  // the byte too many, to tell "full" from "more follows"
  while (code == Z_OK && out.size() <= limit_bytes) {
    const size_t before = out.size();
    if (before == out.capacity() || before == 0) {
      // The capacity is what is held, hence what is reserved: it grows here and nowhere else.
      const uint64_t room = std::min<uint64_t>(std::max<uint64_t>(kBlockBytes, 2 * before), most);
      granted = !reserve || reserve(std::min(room, limit_bytes));
      if (!granted) break;
      out.reserve(room);
    }
    const size_t block = std::min<uint64_t>({kBlockBytes, out.capacity() - before, most - before});
    out.resize(before + block);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(block);
    code = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + block - stream.avail_out);
    if (code == Z_OK && stream.avail_in == 0 && stream.avail_out == block) code = Z_BUF_ERROR;
  }
  const bool left = stream.avail_in > 0;
  inflateEnd(&stream);
  if (!granted) {
    return Unavailable(
        "the requests being answered already hold all the memory there is for bodies; try again in "
        "a moment");
  }
  if (out.size() > limit_bytes) {
    return InvalidArgument(
        fmt::format("decompressed request exceeds the maximum allowed input size of {} bytes. Use "
                    "--http-max-input-size to increase the limit.",
                    limit_bytes));
  }
  if (code != Z_STREAM_END || left) {
    return InvalidArgument(fmt::format("request body is not valid {} data: {}",
                                       EncodingName(encoding),
                                       code == Z_STREAM_END  ? "bytes follow its end"
                                       : code == Z_BUF_ERROR ? "it ends too early"
                                                             : "damaged"));
  }
  return out;
}

Result<std::string> Compress(std::span<const std::span<const std::byte>> parts,
                             ContentEncoding encoding) {
  z_stream stream{};
  if (deflateInit2(&stream, kCompressionLevel, Z_DEFLATED, Window(encoding), 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return Internal("zlib: deflateInit2 failed");
  }
  std::string out;
  int code = Z_OK;
  for (size_t i = 0; i <= parts.size() && code == Z_OK; ++i) {
    const bool last = i == parts.size();
    stream.next_in =
        last ? nullptr : reinterpret_cast<Bytef*>(const_cast<std::byte*>(parts[i].data()));
    stream.avail_in = last ? 0 : static_cast<uInt>(parts[i].size());
    do {
      const size_t before = out.size();
      out.resize(before + kBlockBytes);
      stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
      stream.avail_out = kBlockBytes;
      code = deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
      out.resize(before + kBlockBytes - stream.avail_out);
    } while (code == Z_OK && stream.avail_out == 0);
    if (code == Z_BUF_ERROR) code = Z_OK;  // nothing to do for an empty part
  }
  deflateEnd(&stream);
  if (code != Z_STREAM_END) return Internal("zlib: deflate failed");
  return out;
}

}  // namespace fusee::server
