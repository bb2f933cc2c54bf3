#include "sinks/duckdb/row_conditions.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "sinks/duckdb/types.h"

namespace tailrace::duckdb {
namespace {

/// One for all of the process, as long as somebody has conditions.
std::shared_ptr<Database> database() {
  static std::mutex mutex;
  static std::weak_ptr<Database> shared;
  const std::lock_guard lock(mutex);
  std::shared_ptr<Database> open = shared.lock();
  if (open == nullptr) shared = open = Database::in_memory({.memory_limit = 32ULL << 20, .threads = 1});
  return open;
}

/// The type that a column has in conditions; others are PostgreSQL's text.
std::string type_of(const Column& column) {
  const TargetType type = target_type(column.type, OnUnrepresentable::kDeadLetter);
  if (type.list) return "VARCHAR";
  switch (type.shape) {
    case Shape::kBool:
    case Shape::kInt16:
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kUInt32:
    case Shape::kFloat:
    case Shape::kDouble:
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128:
    case Shape::kUuid:
    case Shape::kDate:
    case Shape::kTime:
    case Shape::kTimestamp:
    case Shape::kTimestampTz: return type.sql();
    default: return "VARCHAR";
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// What cannot stand in a text cannot be meant by it.
bool may_name(const std::string& sql, const std::string& column) {
  const std::string quoted = identifier(column);
  return lower(sql).find(lower(std::string_view(quoted).substr(1, quoted.size() - 2))) != std::string::npos;
}

}  // namespace

RowConditions::RowConditions(const Relation& relation, const std::vector<rules::Pattern>& patterns,
                             const std::vector<std::string>& sql)
    : connection_(database()) {
  for (std::size_t n = 0; n < relation.columns.size(); ++n) {
    const std::string& name = relation.columns[n].name;
    if (std::ranges::any_of(patterns, [&](const rules::Pattern& pattern) { return pattern.column == name; }) ||
        std::ranges::any_of(sql, [&](const std::string& condition) { return may_name(condition, name); }))
      columns_.push_back(n);
  }
  std::string row;
  for (std::size_t n = 0; n < columns_.size(); ++n)
    row += fmt::format("{}TRY_CAST(${}::VARCHAR AS {}) AS {}", n == 0 ? "" : ", ", n + 1,
                       type_of(relation.columns[columns_[n]]), identifier(relation.columns[columns_[n]].name));
  std::vector<std::string> conditions;
  for (const rules::Pattern& pattern : patterns) {
    const auto column =
        std::ranges::find_if(columns_, [&](std::size_t at) { return relation.columns[at].name == pattern.column; });
    conditions.push_back(
        fmt::format("regexp_full_match(${}::VARCHAR, {})", column - columns_.begin() + 1, literal(pattern.regex)));
  }
  conditions.insert(conditions.end(), sql.begin(), sql.end());
  std::string found;
  // The line's end keeps a comment from going on behind the condition. What cannot be computed is NULL to TRY.
  for (std::size_t n = 0; n < conditions.size(); ++n)
    found += fmt::format(" WHEN TRY(coalesce(({}\n)::BOOLEAN, true)) IS NOT TRUE THEN '{}'", conditions[n], n);
  const std::string from = row.empty() ? "" : fmt::format(" FROM (SELECT {})", row);
  try {
    statement_ = std::make_unique<Statement>(connection_, fmt::format("SELECT CASE{} END{}", found, from));
    // Some mistakes are found only where it runs.
    for (std::size_t n = 0; n < columns_.size(); ++n) statement_->bind_null();
    statement_->query();
  } catch (const RefusedError& error) {
    throw RefusedError("TR872", fmt::format("the rules of {}: {}", relation.display_name(), error.what()),
                       "write conditions in DuckDB's SQL on columns of the table, and patterns as RE2 reads them");
  }
}

std::optional<std::size_t> RowConditions::broken_by(TupleView row) {
  const std::lock_guard lock(mutex_);
  auto fields = row.begin();
  Field field;
  std::size_t next = 0;
  for (const std::size_t column : columns_) {
    for (; next <= column; ++next) field = fields.next();
    if (field.kind == FieldKind::kText) {
      statement_->bind(field.bytes);
    } else {
      statement_->bind_null();
    }
  }
  Result answer = statement_->query();
  std::optional<std::size_t> broken;
  read_text_rows(answer, [&](const TextRow& values) {
    if (values.front().first) broken = std::stoull(values.front().second);
  });
  return broken;
}

}  // namespace tailrace::duckdb
