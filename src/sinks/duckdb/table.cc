#include "sinks/duckdb/table.h"

namespace tailrace::duckdb {

std::vector<std::string> Table::column_names(bool of_history) const {
  std::vector<std::string> names;
  for (const Column& column : shape.relation->columns) names.push_back(column.name);
  if (of_history) names.insert(names.end(), kHistoryColumnNames.begin(), kHistoryColumnNames.end());
  return names;
}

std::unique_ptr<RowAppender> Table::append_to_mirror(Connection& connection) const {
  const auto [schema, name] = place();
  return std::make_unique<RowAppender>(connection, schema, name, shape.types,
                                       mirror_in_order ? std::vector<std::string>() : column_names(false));
}

std::unique_ptr<RowAppender> Table::append_to_history(Connection& connection) const {
  const Relation& relation = *shape.relation;
  return std::make_unique<RowAppender>(connection, relation.schema, relation.name + "__history", shape.types,
                                       history_in_order ? std::vector<std::string>() : column_names(true));
}

}  // namespace tailrace::duckdb
