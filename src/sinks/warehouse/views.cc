#include "sinks/warehouse/views.h"

#include <algorithm>
#include <optional>

namespace tailrace::warehouse {
namespace {

/// What is in braces; nothing where it is no table's name, and so a part of the query.
std::optional<NamedTable> table_in(std::string_view text) {
  const std::size_t point = text.find('.');
  if (point == 0 || point == std::string_view::npos || point + 1 == text.size()) return std::nullopt;
  if (text.find_first_of("{'\" \t\n:,") != std::string_view::npos) return std::nullopt;
  return NamedTable{std::string(text.substr(0, point)), std::string(text.substr(point + 1))};
}

}  // namespace

std::string query_of(const ViewSpec& view, const std::function<std::string(const NamedTable&)>& replaced) {
  std::string out;
  std::string_view rest = view.query;
  while (true) {
    const std::size_t open = rest.find('{');
    const std::size_t close = open == std::string_view::npos ? open : rest.find('}', open);
    if (close == std::string_view::npos) return out.append(rest);
    out.append(rest.substr(0, open));
    if (const auto table = table_in(rest.substr(open + 1, close - open - 1))) {
      out += replaced(*table);
      rest.remove_prefix(close + 1);
    } else {
      out += '{';
      rest.remove_prefix(open + 1);
    }
  }
}

std::vector<NamedTable> tables_of(const ViewSpec& view) {
  std::vector<NamedTable> tables;
  query_of(view, [&tables](const NamedTable& table) {
    if (std::ranges::find(tables, table) == tables.end()) tables.push_back(table);
    return std::string();
  });
  return tables;
}

}  // namespace tailrace::warehouse
