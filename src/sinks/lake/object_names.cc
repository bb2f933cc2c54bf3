#include "sinks/lake/object_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kSchema = "{schema}";
constexpr std::string_view kPartition = "/{partition}";
/// Epoch, end of the commit, ordinal: 8, 16 and 16 digits.
constexpr std::size_t kPositionDigits = 40;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || static_cast<unsigned char>(c) >= 0x80;
}

std::string digits_of(const Position& position) {
  return fmt::format("{:08x}{:016x}{:016x}", position.epoch, position.commit_end.value(), position.ordinal);
}

[[noreturn]] void refuse(const std::string& text, const std::string& why) {
  throw BadConfigError("TR857", fmt::format("`path: {}` {}", text, why),
                       "write folders with {table}, and {schema} where tables of several schemas have one name");
}

}  // namespace

std::string name_as_folder(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool hides = out.empty() && (c == '.' || c == '_');
    if (is_plain(c) && !hides) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string with_names(std::string_view text, std::string_view schema, std::string_view table) {
  std::string out;
  while (!text.empty()) {
    if (text.starts_with(kSchema)) {
      out += schema;
      text.remove_prefix(kSchema.size());
    } else if (text.starts_with(kTablePlaceholder)) {
      out += table;
      text.remove_prefix(kTablePlaceholder.size());
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

TablePath::TablePath(const std::string& text) : text_(text) {
  if (text_.ends_with(kPartition)) text_.resize(text_.size() - kPartition.size());
  while (text_.ends_with('/')) text_.pop_back();
  std::string rest = text_;
  for (const std::string_view placeholder : {kSchema, kTablePlaceholder})
    for (std::size_t at = rest.find(placeholder); at != std::string::npos; at = rest.find(placeholder))
      rest.replace(at, placeholder.size(), "x");
  if (text_.find(kTablePlaceholder) == std::string::npos) refuse(text, "gives the tables no folders of their own");
  if (rest.find_first_of("{}") != std::string::npos) refuse(text, "has braces that stand for nothing");
  if (rest.starts_with('/') || rest.starts_with('_') || rest.find("//") != std::string::npos ||
      rest.find("..") != std::string::npos)
    refuse(text, "is no path below the lake, or begins like the sink's own folders");
}

std::string TablePath::of(const Relation& relation) const {
  return with_names(text_, name_as_folder(relation.schema), name_as_folder(relation.name)) + '/';
}

std::string partition_folder(Partitioning partitioning, std::int32_t day) {
  if (partitioning == Partitioning::kNone) return {};
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  return fmt::format("date={:04}-{:02}-{:02}/", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::string range_name(const Position& first, const Position& last) { return digits_of(first) + '-' + digits_of(last); }

bool is_object(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  constexpr std::size_t kLength = 2 * kPositionDigits + 1;
  if (name.size() <= kLength || name[kPositionDigits] != '-' || name[kLength] != '.') return false;
  return std::ranges::count_if(name.substr(0, kLength),
                               [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }) == kLength - 1;
}

}  // namespace tailrace::lake
