#include "pipeline/rules_file.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

namespace tailrace::pipeline {
namespace {

using config::Entry;
using config::FieldDoc;
using config::Node;
using config::Object;
using config::Reading;
using rules::Number;
using rules::TableRules;

struct RangeDraft {
  std::optional<Number> least;
  std::optional<Number> most;
};

FieldDoc bound(const char* name, const char* doc) {
  FieldDoc field;
  field.name = name;
  field.doc = doc;
  field.type = "number";
  return field;
}

Number number_of(const Node& node, const Reading& reading) {
  std::optional<Number> number = Number::parse(reading.text(node));
  if (!number) throw reading.error("TR870", "a bound of a `range` is no number", "write a number, such as 0.50", node);
  return std::move(*number);
}

Object<RangeDraft> range_object() {
  Object<RangeDraft> range("What numbers a column may have.");
  range
      .other(bound("min", "The least."),
             [](RangeDraft& into, const Node& node, const Reading& reading) { into.least = number_of(node, reading); })
      .other(bound("max", "The greatest."),
             [](RangeDraft& into, const Node& node, const Reading& reading) { into.most = number_of(node, reading); });
  return range;
}

rules::Range read_range(const Entry& entry, const Reading& reading) {
  RangeDraft draft;
  range_object().read(draft, entry.value, reading);
  if (!draft.least && !draft.most)
    throw reading.error("TR870", fmt::format("the `range` of `{}` has no bound", entry.key),
                        "give `min`, `max` or both", entry.value);
  if (draft.least && draft.most && *draft.most < *draft.least)
    throw reading.error("TR870", fmt::format("no number is in the `range` of `{}`", entry.key),
                        "`min` is to be less than `max`", entry.value);
  return {.column = entry.key, .least = std::move(draft.least), .most = std::move(draft.most)};
}

FieldDoc by_column(const char* name, const char* doc, const char* type) {
  FieldDoc field;
  field.name = name;
  field.doc = doc;
  field.type = type;
  return field;
}

const std::vector<Entry>& columns_of(const Node& node, const Reading& reading) {
  if (node.kind != Node::Kind::kMap) throw reading.wrong(node, "a map from columns");
  return node.entries;
}

Object<TableRules> table_object() {
  Object<TableRules> table("What the rows of these tables have to fulfil; those that do not become dead letters.");
  table.texts("not_null", &TableRules::not_null, "Columns that have a value.")
      .other(by_column("range", "Columns of numbers, each with `min`, `max` or both.", "map of maps"),
             [](TableRules& into, const Node& node, const Reading& reading) {
               for (const Entry& entry : columns_of(node, reading)) into.ranges.push_back(read_range(entry, reading));
             })
      .other(by_column("in", "Columns, each with the list of values that it may have.", "map of lists"),
             [](TableRules& into, const Node& node, const Reading& reading) {
               for (const Entry& entry : columns_of(node, reading))
                 into.choices.push_back({.column = entry.key, .values = reading.texts(entry.value)});
             })
      .other(by_column("regex", "Columns, each with the pattern (RE2) that its whole text matches.", "map of text"),
             [](TableRules& into, const Node& node, const Reading& reading) {
               for (const Entry& entry : columns_of(node, reading))
                 into.patterns.push_back({.column = entry.key, .regex = reading.text(entry.value)});
             })
      .texts("sql", &TableRules::sql, "Conditions on the row, in DuckDB's SQL.");
  return table;
}

}  // namespace

FieldDoc rules_field() {
  FieldDoc field;
  field.name = "validate";
  field.doc = "What rows have to fulfil, by the tables that are meant (`schema.table`, with `*` and `?`).";
  field.type = "map";
  field.named_below = true;
  field.below = table_object().doc();
  return field;
}

std::vector<TableRules> read_rules(const Node& node, const Reading& reading) {
  if (node.kind != Node::Kind::kMap) throw reading.wrong(node, "a map from tables to their rules");
  std::vector<TableRules> tables;
  for (const Entry& entry : node.entries) {
    if (entry.key.starts_with('!'))
      throw reading.error("TR870", "a pattern with ! means every other table", "name the tables that are meant",
                          entry.value);
    TableRules table;
    table.tables = entry.key;
    table_object().read(table, entry.value, reading);
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace tailrace::pipeline
