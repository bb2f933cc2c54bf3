#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/position.h"
#include "model/relation.h"

namespace tailrace::lake {

/// How a table's objects are divided into folders.
enum class Partitioning : std::uint8_t { kNone, kDay };

/// A name of a table or schema as one of a folder: all but letters, digits, "-", "_", "." and what is not ASCII becomes
/// %XX, and so does a "." or "_" in front.
std::string name_as_folder(std::string_view name);

inline constexpr std::string_view kTablePlaceholder = "{table}";
/// `text` with these in the places of `{schema}` and `{table}`.
std::string with_names(std::string_view text, std::string_view schema, std::string_view table);

/// Where the objects of a table lie: text with `{schema}` and `{table}`. Immutable.
class TablePath {
 public:
  TablePath() : TablePath("{schema}/{table}") {}
  /// `{partition}` may stand at the end and says nothing more. Throws BadConfigError TR857.
  explicit TablePath(const std::string& text);

  const std::string& text() const { return text_; }
  /// The folder of this table, with a slash at its end. Names are written so that each stays within its place.
  std::string of(const Relation& relation) const;

 private:
  std::string text_;
};

/// "date=2026-01-31/" of days since 1970-01-01; nothing where there are no partitions.
std::string partition_folder(Partitioning partitioning, std::int32_t day);
/// "FIRST-LAST", positions in hexadecimal of fixed width, the epoch first.
std::string range_name(const Position& first, const Position& last);
/// Whether the last part of `path` is a name of an object that this sink makes.
bool is_object(std::string_view path);

}  // namespace tailrace::lake
