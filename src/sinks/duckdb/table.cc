#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {
namespace {

std::vector<std::string> column_names(const Relation& relation) {
  std::vector<std::string> names;
  for (const Column& column : relation.columns) names.push_back(column.name);
  return names;
}

}  // namespace

std::unique_ptr<RowAppender> Table::append_to_mirror(Connection& connection) const {
  std::vector<std::string> columns;
  if (!mirror_in_order) columns = column_names(*shape.relation);
  const auto [schema, name] = place();
  return std::make_unique<RowAppender>(connection, schema, name, shape.types, columns);
}

std::unique_ptr<RowAppender> Table::append_to_history(Connection& connection) const {
  const Relation& relation = *shape.relation;
  std::vector<std::string> columns;
  if (!history_in_order) {
    columns = column_names(relation);
    columns.insert(columns.end(), kHistoryColumnNames.begin(), kHistoryColumnNames.end());
  }
  return std::make_unique<RowAppender>(connection, relation.schema, relation.name + "__history", shape.types, columns);
}

}  // namespace tailrace::duckdb
