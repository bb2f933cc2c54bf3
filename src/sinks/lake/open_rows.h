#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "model/relation.h"
#include "sinks/row_target.h"

/// Rows of files that are not complete yet, as steps keep them (docs/lake.md). Pure functions over bytes.
namespace tailrace::lake {

/// A file that is being filled, by what it will be called. A value.
struct OpenFileId {
  std::string topic;
  std::uint64_t offset = 0;

  auto operator<=>(const OpenFileId&) const = default;
};

/// Appends one row. `time`: where it stands, in milliseconds since 1970.
void append_open_row(const sinks::RowChange& change, std::int64_t time, std::string& out);
/// Appends the rows of one file, which append_open_row() made.
void append_open_file(const OpenFileId& file, const std::string& partition, const Relation& relation,
                      std::string_view rows, std::string& out);
/// What append_open_file() made of any number of files, as it is stored.
std::string encode_open_rows(std::string_view files);

/// One file's rows as they were kept.
struct KeptRows {
  OpenFileId file;
  std::string partition;
  RelationPtr relation;
  /// For read_open_row().
  std::string_view rows;
};
/// `bytes` outlive what is given. Throws CorruptionError TR854 for what encode_open_rows() did not write.
void read_open_files(std::string_view bytes, const std::function<void(const KeptRows&)>& use);
/// The rows in their order. Their relation is not set.
void read_open_rows(std::string_view rows,
                    const std::function<void(const sinks::RowChange& change, std::int64_t time)>& use);

}  // namespace tailrace::lake
