#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/s3_client.h"
#include "sinks/lake/connect_layout.h"
#include "sinks/lake/file_form.h"
#include "sinks/lake/object_names.h"
#include "sinks/lake/store.h"

namespace tailrace::lake {

inline constexpr std::uint64_t kUsualPart = 16ULL << 20;

/// What a lake is asked to be. Holds secrets. A value.
struct LakeSpec {
  /// Where it begins: in a bucket, below this prefix (empty, or with a slash at its end); or on the local file system.
  std::optional<net::S3Address> bucket;
  std::string prefix;
  /// Of S3Store.
  std::uint64_t part_size = kUsualPart;
  std::filesystem::path directory;
  FileForm form;
  Partitioning partitioning = Partitioning::kNone;
  TablePath path;
  /// A catalog of DuckLake, in a SQLite file; empty: the lake is a layout of files.
  std::filesystem::path catalog;
  /// Where objects lie as Kafka Connect's stores have them; null: in a folder for each table.
  std::shared_ptr<const ConnectLayout> connect;
  /// So many small files of one folder are merged; 0: none ever.
  std::uint32_t compact_files = 0;
  std::string pipeline;
  /// What the sink may use, in bytes.
  std::uint64_t memory = 128ULL << 20;

  /// The place, for people.
  std::string display() const;
  std::unique_ptr<Store> store() const;
  /// Where it begins, as DuckDB's readers write it, with a slash at its end.
  std::string data_path() const;
};

/// Reads `sqlite:FILE`. Throws BadConfigError TR857.
void read_catalog(std::string_view text, LakeSpec& spec);
/// Bytes of rows that a writer gathers in all.
std::size_t gathered_bytes(const LakeSpec& spec);

/// Throws BadConfigError TR857 for parts of a size that no server takes, or where nothing is sent in parts.
void check_part_size(const LakeSpec& spec);
/// Throws BadConfigError TR857 when objects of this form or layout are never merged, and are to be.
void check_compaction(const LakeSpec& spec);

/// Reads `file://DIRECTORY`, a path, or `s3://BUCKET/PREFIX`. Throws BadConfigError TR857.
void read_url(std::string_view url, LakeSpec& spec);
/// Where the server of the bucket is: `http://HOST:PORT` or `https://HOST`; empty: Amazon's, of the region. A server of
/// somebody else gets the bucket in the path. Throws BadConfigError TR857.
void read_endpoint(const std::string& url, net::S3Address& bucket);

}  // namespace tailrace::lake
