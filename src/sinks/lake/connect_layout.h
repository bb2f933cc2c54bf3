#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/relation.h"
#include "sinks/lake/file_form.h"
#include "sinks/lake/joda_pattern.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

enum class Partitioner : std::uint8_t { kDefault, kField, kTime, kDaily, kHourly };
enum class TimeFrom : std::uint8_t { kRecord, kWallclock, kField };
enum class Deletes : std::uint8_t { kRewrite, kDrop };

/// What the layout of Kafka Connect's object stores is asked to be (docs/lake.md). A value; times in milliseconds, -1:
/// not asked for.
struct ConnectOptions {
  std::string topics_dir = "topics";
  std::string topic = "{schema}.{table}";
  Partitioner partitioner = Partitioner::kDefault;
  std::vector<std::string> fields;
  std::int64_t duration = -1;
  std::string path_format;
  std::string locale = "en-US";
  std::string timezone = "UTC";
  TimeFrom time_from = TimeFrom::kRecord;
  std::string time_field = "timestamp";
  std::uint64_t flush_rows = 10'000;
  std::int64_t rotate_interval = -1;
  std::int64_t rotate_schedule = 600'000;
  bool rotate_on_partition = true;
  int offset_digits = 10;
  std::string directory_delim = "/";
  std::string file_delim = "+";
  Deletes deletes = Deletes::kRewrite;
  bool metadata = false;
};

/// Topics, partitions and times of rows. Immutable; any thread.
class ConnectLayout {
 public:
  /// Throws BadConfigError TR857 and TR864 for what does not fit together.
  explicit ConnectLayout(ConnectOptions options);

  const ConnectOptions& options() const { return options_; }
  std::string topic_of(const Relation& relation) const;
  /// What all objects of a topic begin with.
  std::string folder_of(const std::string& topic) const;
  std::string path_of(const std::string& topic, const std::string& partition, std::uint64_t offset,
                      const FileForm& form) const;
  /// Whether `path` is a name that an object of this topic may have.
  bool is_object_of(const std::string& topic, std::string_view path) const;
  /// Why rows of the table have no partition; empty: they have.
  std::string obstacle(const Relation& relation) const;
  /// Why this row has none, for a person and without values; null: it has.
  const char* refusal_of(const Relation& relation, const sinks::RowChange& change) const;
  /// Milliseconds since 1970 that the row stands at; nothing: its field has none that a calendar names.
  std::optional<std::int64_t> time_of(const Relation& relation, const sinks::RowChange& change) const;
  /// "partition=0", "day=2026-01-31": as one or more folders.
  std::string partition_of(const Relation& relation, const sinks::RowChange& change, std::int64_t time) const;
  /// The next moment after `now` at which files are closed by the clock. REQUIRES: rotate_schedule.
  std::int64_t next_schedule(std::int64_t now) const;

 private:
  std::string partition_by_fields(const Relation& relation, const sinks::RowChange& change) const;

  const ConnectOptions options_;
  const Zone zone_;
  JodaPattern pattern_;
  std::int64_t duration_ = 0;
};

/// This host's clock, in milliseconds since 1970.
std::int64_t now_millis();

}  // namespace tailrace::lake
