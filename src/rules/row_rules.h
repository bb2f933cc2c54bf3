#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/relation.h"
#include "model/tuple.h"
#include "rules/number.h"

/// What rows have to fulfil before any target gets them (docs/sinks.md).
namespace tailrace::rules {

/// What the reason of a dead letter begins with that broke a rule.
inline constexpr const char* kReasonBegins = "validation: ";

struct Range {
  std::string column;
  std::optional<Number> least;
  std::optional<Number> most;
};
struct OneOf {
  std::string column;
  std::vector<std::string> values;
};
struct Pattern {
  std::string column;
  std::string regex;
};

/// The rules of the tables that a pattern names. A value.
struct TableRules {
  std::string tables;
  std::vector<std::string> not_null;
  std::vector<Range> ranges;
  std::vector<OneOf> choices;
  std::vector<Pattern> patterns;
  /// Conditions on the row in SQL.
  std::vector<std::string> sql;
};

/// Conditions in SQL on the rows of one version of a table. Any thread.
class Conditions {
 public:
  virtual ~Conditions() = default;
  /// The place of the first that is false, or that cannot be computed for this row; one that is NULL holds.
  virtual std::optional<std::size_t> broken_by(TupleView row) = 0;
};
/// First the patterns, as conditions on the whole text of their columns, then the SQL. Throws RefusedError TR872 for
/// what the table's columns do not allow or nobody can read.
using ConditionMaker = std::function<std::unique_ptr<Conditions>(
    const Relation& relation, const std::vector<Pattern>& patterns, const std::vector<std::string>& sql)>;

/// The rules for one version of a table. Any thread; outlived by nothing that it gave.
class RowCheck {
 public:
  /// Throws RefusedError TR871 where they do not fit the table, TR872 (see ConditionMaker).
  RowCheck(const Relation& relation, const std::vector<const TableRules*>& rules, const ConditionMaker& conditions);

  /// Why this row is not to be written, for a person and without values; null: it is. Values that were not sent break
  /// no rule. REQUIRES: the row is of this version of the table.
  const char* refusal_of(TupleView row) const;

 private:
  struct ColumnRule {
    std::size_t column = 0;
    enum class Kind { kNotNull, kRange, kOneOf } kind = Kind::kNotNull;
    std::optional<Number> least;
    std::optional<Number> most;
    std::vector<std::string> values;
    /// The values of a column of numbers.
    std::vector<Number> numbers;
    std::string reason;

    bool holds(const Field& field) const;
  };
  void add(const Relation& relation, const TableRules& rules);

  /// By their columns, ascending.
  std::vector<ColumnRule> rules_;
  std::unique_ptr<Conditions> conditions_;
  std::vector<std::string> reasons_;
};

/// The rules of a pipeline. Immutable; any thread.
class RowRules {
 public:
  RowRules(std::vector<TableRules> tables, ConditionMaker conditions)
      : tables_(std::move(tables)), conditions_(std::move(conditions)) {}

  /// Null: there are none for this table. Throws what RowCheck() throws.
  std::shared_ptr<const RowCheck> check_for(const Relation& relation) const;

 private:
  const std::vector<TableRules> tables_;
  const ConditionMaker conditions_;
};

}  // namespace tailrace::rules
