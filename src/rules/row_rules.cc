#include "rules/row_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/table_patterns.h"

namespace tailrace::rules {
namespace {

bool is_number(const Column& column) {
  static constexpr std::array<std::uint32_t, 7> kNumbers = {20, 21, 23, 26, 700, 701, 1700};
  return std::ranges::find(kNumbers, column.type.base.value()) != kNumbers.end();
}

std::size_t column_of(const Relation& relation, const std::string& name) {
  const auto column = std::ranges::find(relation.columns, name, &Column::name);
  if (column == relation.columns.end())
    throw RefusedError("TR871",
                       fmt::format("{} has no column \"{}\", for which there is a rule", relation.display_name(), name),
                       "take the rule out of `validate`, or name a column that the table has");
  return static_cast<std::size_t>(column - relation.columns.begin());
}

std::string reason(const char* rule, const std::string& column) {
  return fmt::format("{}`{}` of `{}`", kReasonBegins, rule, column);
}

}  // namespace

bool RowCheck::ColumnRule::holds(const Field& field) const {
  if (kind == Kind::kNotNull) return field.kind != FieldKind::kNull;
  if (field.kind != FieldKind::kText) return true;
  if (kind == Kind::kOneOf && numbers.empty()) return std::ranges::find(values, field.bytes) != values.end();
  const std::optional<Number> number = Number::parse(field.bytes);
  if (!number) return false;
  if (kind == Kind::kOneOf) return std::ranges::find(numbers, *number) != numbers.end();
  return (!least || *least <= *number) && (!most || *number <= *most);
}

RowCheck::RowCheck(const Relation& relation, const std::vector<const TableRules*>& rules,
                   const ConditionMaker& conditions) {
  std::vector<Pattern> patterns;
  std::vector<std::string> sql;
  std::vector<std::string> sql_reasons;
  for (const TableRules* of : rules) {
    add(relation, *of);
    for (const Pattern& pattern : of->patterns) {
      column_of(relation, pattern.column);
      patterns.push_back(pattern);
      reasons_.push_back(reason("regex", pattern.column));
    }
    for (const std::string& condition : of->sql) {
      sql.push_back(condition);
      sql_reasons.push_back(fmt::format("{}`sql` {}", kReasonBegins, condition));
    }
  }
  reasons_.insert(reasons_.end(), sql_reasons.begin(), sql_reasons.end());
  if (!reasons_.empty()) conditions_ = conditions(relation, patterns, sql);
  std::ranges::stable_sort(rules_, {}, &ColumnRule::column);
}

void RowCheck::add(const Relation& relation, const TableRules& rules) {
  for (const std::string& column : rules.not_null)
    rules_.push_back({.column = column_of(relation, column), .reason = reason("not_null", column)});
  for (const Range& range : rules.ranges) {
    const std::size_t column = column_of(relation, range.column);
    if (!is_number(relation.columns[column]))
      throw RefusedError("TR871",
                         fmt::format("{}.\"{}\" has a `range` and is no number", relation.display_name(), range.column),
                         "write the rule as `sql`, or take it out");
    rules_.push_back({.column = column,
                      .kind = ColumnRule::Kind::kRange,
                      .least = range.least,
                      .most = range.most,
                      .reason = reason("range", range.column)});
  }
  for (const OneOf& choice : rules.choices) {
    const std::size_t column = column_of(relation, choice.column);
    ColumnRule rule{.column = column,
                    .kind = ColumnRule::Kind::kOneOf,
                    .values = choice.values,
                    .reason = reason("in", choice.column)};
    if (is_number(relation.columns[column])) {
      for (const std::string& value : choice.values) {
        std::optional<Number> number = Number::parse(value);
        if (!number)
          throw RefusedError("TR871",
                             fmt::format("{}.\"{}\" is a number, and its `in` lists what is none",
                                         relation.display_name(), choice.column),
                             "list numbers");
        rule.numbers.push_back(std::move(*number));
      }
    }
    rules_.push_back(std::move(rule));
  }
}

const char* RowCheck::refusal_of(TupleView row) const {
  if (!row.present()) return nullptr;
  auto fields = row.begin();
  Field field;
  std::size_t next = 0;
  for (const ColumnRule& rule : rules_) {
    for (; next <= rule.column; ++next) field = fields.next();
    if (!rule.holds(field)) return rule.reason.c_str();
  }
  if (conditions_ == nullptr) return nullptr;
  const std::optional<std::size_t> broken = conditions_->broken_by(row);
  return broken ? reasons_[*broken].c_str() : nullptr;
}

std::shared_ptr<const RowCheck> RowRules::check_for(const Relation& relation) const {
  std::vector<const TableRules*> rules;
  for (const TableRules& of : tables_)
    if (TablePatterns({of.tables}).match(relation.schema, relation.name)) rules.push_back(&of);
  if (rules.empty()) return nullptr;
  return std::make_shared<const RowCheck>(relation, rules, conditions_);
}

}  // namespace tailrace::rules
