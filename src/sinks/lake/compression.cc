#include "sinks/lake/compression.h"

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace::lake {
namespace {

/// zlib's names for its forms: gzip's header and trailer, or neither.
constexpr int kGzipWindow = 15 + 16;
constexpr int kRawWindow = -15;
/// Files of a stream are written once and seldom read: speed before size.
constexpr int kZlibLevel = 4;
constexpr int kZlibMemory = 8;
constexpr int kZstdLevel = 3;

std::string with_zlib(std::string_view bytes, int window) {
  z_stream stream{};
  if (deflateInit2(&stream, kZlibLevel, Z_DEFLATED, window, kZlibMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw RetryError("TR853", "there is no memory to compress a file", "give the machine more memory");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  // zlib reads from what it has no pointer to const for.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw DefectError("zlib does not compress what fits its bound");
  return out;
}

}  // namespace

std::string gzipped(std::string_view bytes) { return with_zlib(bytes, kGzipWindow); }
std::string deflated(std::string_view bytes) { return with_zlib(bytes, kRawWindow); }

std::string zstd_compressed(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), kZstdLevel);
  if (ZSTD_isError(size) != 0)
    throw RetryError("TR853", "there is no memory to compress a file", "give the machine more memory");
  out.resize(size);
  return out;
}

std::string snappy_with_crc(std::string_view bytes) {
  std::size_t size = snappy_max_compressed_length(bytes.size());
  std::string out(size, '\0');
  if (snappy_compress(bytes.data(), bytes.size(), out.data(), &size) != SNAPPY_OK)
    throw DefectError("Snappy does not compress what fits its bound");
  out.resize(size);
  const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  ByteWriter(out).be32(static_cast<std::uint32_t>(crc));
  return out;
}

}  // namespace tailrace::lake
