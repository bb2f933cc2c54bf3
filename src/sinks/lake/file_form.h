#pragma once

#include <cstdint>
#include <string>

namespace tailrace::lake {

enum class Format : std::uint8_t { kParquet, kJsonLines, kAvro, kCsv };
enum class Codec : std::uint8_t { kDefault, kNone, kZstd, kGzip, kSnappy, kLz4, kDeflate };

/// What an object's bytes are. A value.
struct FileForm {
  Format format = Format::kParquet;
  /// Never kDefault.
  Codec codec = Codec::kZstd;

  /// What objects' names end in, with its dot.
  std::string ending() const;
  /// The same as Kafka Connect's object stores have it.
  std::string connect_ending() const;
  /// The codec as DuckDB calls it for Parquet.
  const char* parquet_codec() const;
  /// As people call the format.
  const char* name() const;
};

/// Throws BadConfigError TR857 for a codec that the format does not have.
FileForm file_form(Format format, Codec codec);

}  // namespace tailrace::lake
