#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sinks/warehouse/spec.h"

namespace tailrace::warehouse {

/// A table of the source as a view's query names it.
struct NamedTable {
  std::string schema;
  std::string name;

  bool operator==(const NamedTable&) const = default;
};

/// The tables that a view's query names, each once, in their order: what stands as `{schema.table}` in it.
std::vector<NamedTable> tables_of(const ViewSpec& view);
/// The query with each of them replaced.
std::string query_of(const ViewSpec& view, const std::function<std::string(const NamedTable&)>& replaced);

}  // namespace tailrace::warehouse
