#include "sinks/duckdb/answer_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tailrace::duckdb {
namespace {

constexpr std::size_t kMeasuredRows = 10000;

std::string shown(const std::pair<bool, std::string>& value) { return value.first ? value.second : "NULL"; }

/// Characters, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string csv_value(const std::pair<bool, std::string>& value) {
  if (!value.first) return "";
  if (!value.second.empty() && value.second.find_first_of(",\"\r\n") == std::string::npos) return value.second;
  std::string out = "\"";
  for (const char c : value.second) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace

TableText::TableText(std::vector<std::string> names, const QueryOutput& output)
    : names_(std::move(names)), output_(output) {
  for (const std::string& name : names_) widths_.push_back(width_of(name));
}

void TableText::add(TextRow row) {
  ++count_;
  if (measured_) return write(row);
  for (std::size_t n = 0; n < row.size(); ++n) widths_[n] = std::max(widths_[n], width_of(shown(row[n])));
  waiting_.push_back(std::move(row));
  if (waiting_.size() == kMeasuredRows) begin();
}

void TableText::finish() {
  if (!measured_) begin();
  output_(fmt::format("({} {})\n", count_, count_ == 1 ? "row" : "rows"));
}

void TableText::begin() {
  measured_ = true;
  TextRow header;
  TextRow rule;
  for (std::size_t n = 0; n < names_.size(); ++n) {
    header.emplace_back(true, names_[n]);
    rule.emplace_back(true, std::string(widths_[n], '-'));
  }
  write(header);
  write(rule);
  for (const TextRow& row : waiting_) write(row);
  waiting_.clear();
}

void TableText::write(const TextRow& row) {
  std::string line;
  for (std::size_t n = 0; n < row.size(); ++n) {
    const std::string text = shown(row[n]);
    if (n > 0) line += "  ";
    line += text;
    if (n + 1 < row.size() && widths_[n] > width_of(text)) line.append(widths_[n] - width_of(text), ' ');
  }
  output_(line + '\n');
}

std::string csv_line(const TextRow& row) {
  std::string line;
  for (std::size_t n = 0; n < row.size(); ++n) line += (n == 0 ? "" : ",") + csv_value(row[n]);
  return line + '\n';
}

}  // namespace tailrace::duckdb
