#include "sinks/lake/connect_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/time.h"
#include "formats/value_text.h"
#include "sinks/lake/object_names.h"
#include "sinks/row_unit.h"

namespace tailrace::lake {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

constexpr std::int64_t kHour = 3'600'000;
constexpr std::int64_t kDay = 24 * kHour;
constexpr const char* kDailyPath = "'year'=YYYY/'month'=MM/'day'=dd";
constexpr const char* kHourlyPath = "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH";
/// Years beyond 30,000, of either era, have no names here.
constexpr std::int64_t kMostMillis = 884'000'000'000'000;
/// Of one folder, and of all together: what file systems and buckets take, less what stands before and behind.
constexpr std::size_t kMostName = 200;
constexpr std::size_t kMostPath = 600;

// Oids of pg_catalog's types, which never change (pg_type.dat).
enum class Kind : std::uint8_t { kOther, kBool, kInteger, kText, kDate, kTimestamp };

Kind kind_of(const ColumnType& type) {
  if (type.kind == TypeKind::kEnum) return Kind::kText;
  switch (type.base.value()) {
    case 16: return Kind::kBool;
    case 20:
    case 21:
    case 23:
    case 26: return Kind::kInteger;
    case 25:
    case 1042:
    case 1043: return Kind::kText;
    case 1082: return Kind::kDate;
    case 1114:
    case 1184: return Kind::kTimestamp;
    default: return Kind::kOther;
  }
}

[[noreturn]] void refuse(const std::string& what, const std::string& remedy) {
  throw BadConfigError("TR857", what, remedy);
}

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

/// A value or a name as one part of a path: what would be more than a part, or lead elsewhere, is written as %XX.
std::string as_part(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool hides = out.empty() && c == '.';
    if (c == '/' || c == '\\' || c == '%' || static_cast<unsigned char>(c) < 0x20 || hides) {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::size_t column_of(const Relation& relation, const std::string& name) {
  const auto found = std::ranges::find(relation.columns, name, &Column::name);
  return static_cast<std::size_t>(found - relation.columns.begin());
}

Field known_field(const RowChange& change, std::size_t column) {
  return change.row().present() ? sinks::field_of(change.row(), column) : Field();
}

std::optional<std::int64_t> known_millis(std::int64_t value) {
  if (value > kMostMillis || value < -kMostMillis) return std::nullopt;
  return value;
}

std::optional<std::int64_t> millis(Kind kind, ByteView text) {
  std::int64_t value = 0;
  if (kind == Kind::kInteger || kind == Kind::kText) {
    if (formats::parse_int(text, value)) return known_millis(value);
    if (kind == Kind::kInteger) return std::nullopt;
  }
  std::string iso(text);
  if (iso.size() > 10 && iso[10] == 'T') iso[10] = ' ';
  if (iso.ends_with('Z')) iso.replace(iso.size() - 1, 1, "+00");
  std::int32_t days = 0;
  if (formats::parse_date(iso, days)) return known_millis(days * kDay);
  if (!formats::parse_timestamp(iso, value)) return std::nullopt;
  // Infinite ones are the outermost numbers.
  return known_millis(value / 1000 - (value % 1000 < 0 ? 1 : 0));
}

}  // namespace

ConnectLayout::ConnectLayout(ConnectOptions options) : options_(std::move(options)), zone_(options_.timezone) {
  std::string path = options_.path_format;
  switch (options_.partitioner) {
    case Partitioner::kDefault: break;
    case Partitioner::kField:
      if (options_.fields.empty()) refuse("`partitioner: field` has no fields", "name them with `fields`");
      break;
    case Partitioner::kTime:
      if (options_.duration <= 0 || path.empty())
        refuse("`partitioner: time` lacks `duration` or `path_format`", "give both, as 1h and 'hour'=HH");
      duration_ = options_.duration;
      break;
    case Partitioner::kDaily:
      duration_ = kDay;
      if (path.empty()) path = kDailyPath;
      break;
    case Partitioner::kHourly:
      duration_ = kHour;
      if (path.empty()) path = kHourlyPath;
      break;
  }
  while (path.ends_with('/')) path.pop_back();
  if (duration_ > 0) pattern_ = JodaPattern(path, options_.locale);
  if (options_.rotate_interval > 0 && options_.time_from == TimeFrom::kWallclock && duration_ == 0)
    refuse("`rotate_interval` counts by the time of rows, and `timestamp: wallclock` gives them none",
           "take `timestamp: record`, or `rotate_schedule`");
  if (options_.topic.find(kTablePlaceholder) == std::string::npos)
    refuse(fmt::format("`topic: {}` gives the tables no names of their own", options_.topic), "write {table} into it");
  if (options_.flush_rows == 0) refuse("`flush_rows` is 0", "give the number of rows of a file");
  if (options_.directory_delim.empty() || options_.file_delim.empty())
    refuse("`directory_delim` or `file_delim` is empty", "leave them out: they are / and +");
  if (options_.topics_dir.starts_with('_') || options_.topics_dir.starts_with('/') ||
      options_.topics_dir.ends_with('/') || options_.topics_dir.find("..") != std::string::npos)
    refuse(
        fmt::format("`topics_dir: {}` is no folder below the lake, or begins like the sink's own", options_.topics_dir),
        "write a name like topics");
}

std::string ConnectLayout::topic_of(const Relation& relation) const {
  // A topic begins no folder of the sink's own.
  std::string part = as_part(with_names(options_.topic, relation.schema, relation.name));
  if (options_.topics_dir.empty() && part.starts_with('_')) part.replace(0, 1, "%5F");
  return part;
}

std::string ConnectLayout::folder_of(const std::string& topic) const {
  return (options_.topics_dir.empty() ? "" : options_.topics_dir + '/') + topic + options_.directory_delim;
}

std::string ConnectLayout::path_of(const std::string& topic, const std::string& partition, std::uint64_t offset,
                                   const FileForm& form) const {
  return fmt::format("{}{}{}{}{}0{}{:0{}}{}", folder_of(topic), partition, options_.directory_delim, topic,
                     options_.file_delim, options_.file_delim, offset, options_.offset_digits, form.connect_ending());
}

bool ConnectLayout::is_object_of(const std::string& topic, std::string_view path) const {
  const std::size_t slash = path.rfind(options_.directory_delim);
  if (slash != std::string_view::npos) path.remove_prefix(slash + options_.directory_delim.size());
  return path.starts_with(topic + options_.file_delim + '0' + options_.file_delim);
}

std::string ConnectLayout::obstacle(const Relation& relation) const {
  const auto kind = [&relation](const std::string& name) {
    const std::size_t column = column_of(relation, name);
    return column < relation.columns.size() ? kind_of(relation.columns[column].type) : Kind::kOther;
  };
  if (options_.partitioner == Partitioner::kField)
    for (const std::string& name : options_.fields)
      if (const Kind of = kind(name); of != Kind::kBool && of != Kind::kInteger && of != Kind::kText)
        return fmt::format("it has no column {} of text, integers or truth values to be partitioned by", name);
  if (options_.time_from == TimeFrom::kField)
    if (const Kind of = kind(options_.time_field); of == Kind::kBool || of == Kind::kOther)
      return fmt::format("it has no column {} of times, text or integers to take the time of rows from",
                         options_.time_field);
  return {};
}

std::optional<std::int64_t> ConnectLayout::time_of(const Relation& relation, const RowChange& change) const {
  if (options_.time_from == TimeFrom::kWallclock) return now_millis();
  const std::int64_t record = floor_to(change.commit_time.unix_micros(), 1000) / 1000;
  if (options_.time_from == TimeFrom::kRecord) return record;
  const std::size_t column = column_of(relation, options_.time_field);
  const Field field = known_field(change, column);
  // Of a deleted row only the key may be known.
  if (field.kind != FieldKind::kText) {
    if (change.operation == RowOperation::kDelete || change.operation == RowOperation::kTruncate) return record;
    return std::nullopt;
  }
  return millis(kind_of(relation.columns[column].type), field.bytes);
}

const char* ConnectLayout::refusal_of(const Relation& relation, const RowChange& change) const {
  if (options_.time_from == TimeFrom::kField && !time_of(relation, change))
    return "the field that its time is in has none, or one beyond the year 30,000";
  if (options_.partitioner != Partitioner::kField) return nullptr;
  const std::string folders = partition_by_fields(relation, change);
  std::size_t longest = 0;
  for (std::size_t at = 0; at <= folders.size();) {
    const std::size_t end = std::min(folders.find('/', at), folders.size());
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  return longest > kMostName || folders.size() > kMostPath
             ? "the values that it is partitioned by make no folder's name"
             : nullptr;
}

std::string ConnectLayout::partition_by_fields(const Relation& relation, const RowChange& change) const {
  std::string out;
  for (const std::string& name : options_.fields) {
    const std::size_t column = column_of(relation, name);
    const Field field = known_field(change, column);
    std::string value = "null";
    if (field.kind == FieldKind::kText) value = as_part(field.bytes);
    if (field.kind == FieldKind::kText && kind_of(relation.columns[column].type) == Kind::kBool)
      value = field.bytes == "t" ? "true" : "false";
    out += fmt::format("{}{}={}", out.empty() ? "" : options_.directory_delim, as_part(name), value);
  }
  return out;
}

std::string ConnectLayout::partition_of(const Relation& relation, const RowChange& change, std::int64_t time) const {
  if (options_.partitioner == Partitioner::kDefault) return "partition=0";
  if (options_.partitioner == Partitioner::kField) return partition_by_fields(relation, change);
  return pattern_.print(zone_.utc(floor_to(zone_.local(time), duration_)), zone_);
}

std::int64_t ConnectLayout::next_schedule(std::int64_t now) const {
  const std::int64_t local = zone_.local(now);
  const std::int64_t midnight = floor_to(local, kDay);
  const std::int64_t next = midnight + floor_to(local - midnight, options_.rotate_schedule) + options_.rotate_schedule;
  return std::max(zone_.utc(std::min(next, midnight + kDay)), now + 1);
}

std::int64_t now_millis() { return PgTime::now().unix_micros() / 1000; }

}  // namespace tailrace::lake
