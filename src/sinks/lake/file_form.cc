#include "sinks/lake/file_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace tailrace::lake {
namespace {

struct Known {
  const char* name;
  const char* ending;
  /// The first one is the default.
  std::vector<Codec> codecs;
};

const Known& known(Format format) {
  static const std::array<Known, 4> kFormats = {{
      {"Parquet", ".parquet", {Codec::kZstd, Codec::kSnappy, Codec::kGzip, Codec::kLz4, Codec::kNone}},
      {"JSON", ".jsonl", {Codec::kNone, Codec::kGzip, Codec::kZstd}},
      // Deflate is the one that every reader of Avro has.
      {"Avro", ".avro", {Codec::kDeflate, Codec::kNone, Codec::kSnappy, Codec::kZstd}},
      {"CSV", ".csv", {Codec::kNone, Codec::kGzip, Codec::kZstd}},
  }};
  return kFormats.at(static_cast<std::size_t>(format));
}

const char* name_of(Codec codec) {
  static constexpr std::array<const char*, 7> kNames = {"auto", "none", "zstd", "gzip", "snappy", "lz4", "deflate"};
  return kNames.at(static_cast<std::size_t>(codec));
}

}  // namespace

std::string FileForm::ending() const {
  std::string ending = known(format).ending;
  // Parquet and Avro say inside how they are compressed.
  if (format == Format::kParquet || format == Format::kAvro) return ending;
  if (codec == Codec::kGzip) ending += ".gz";
  if (codec == Codec::kZstd) ending += ".zst";
  return ending;
}

std::string FileForm::connect_ending() const {
  if (format == Format::kJsonLines) return ".json" + ending().substr(std::string_view(".jsonl").size());
  if (format != Format::kParquet || codec == Codec::kNone) return ending();
  return fmt::format(".{}.parquet", codec == Codec::kGzip ? "gz" : name_of(codec));
}

const char* FileForm::parquet_codec() const {
  switch (codec) {
    case Codec::kSnappy: return "snappy";
    case Codec::kGzip: return "gzip";
    case Codec::kLz4: return "lz4_raw";
    case Codec::kNone: return "uncompressed";
    default: return "zstd";
  }
}

const char* FileForm::name() const { return known(format).name; }

FileForm file_form(Format format, Codec codec) {
  const Known& there = known(format);
  if (codec == Codec::kDefault) return {format, there.codecs.front()};
  if (std::ranges::find(there.codecs, codec) != there.codecs.end()) return {format, codec};
  std::string names;
  for (const Codec other : there.codecs) names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(other));
  throw BadConfigError("TR857", fmt::format("`codec: {}` is none of {}'s", name_of(codec), there.name),
                       fmt::format("choose one of {}", names));
}

}  // namespace tailrace::lake
