#pragma once

#include <string>
#include <string_view>

/// Whole blocks of bytes, compressed. Pure functions; any thread.
namespace tailrace::lake {

/// A file of gzip's (RFC 1952), without a time.
std::string gzipped(std::string_view bytes);
/// A raw stream (RFC 1951), as Avro's `deflate` wants it.
std::string deflated(std::string_view bytes);
/// One frame.
std::string zstd_compressed(std::string_view bytes);
/// A block of Snappy's and behind it the bytes' CRC32, most significant byte first, as Avro's `snappy` wants it.
std::string snappy_with_crc(std::string_view bytes);

}  // namespace tailrace::lake
