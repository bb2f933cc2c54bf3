#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sinks/lake/table_shape.h"

namespace tailrace::lake {

/// A name as Avro allows it (Avro specification, "Names"): every other byte is "_", and so is what stands before a
/// leading digit.
std::string avro_name(std::string_view name);
/// The schema of a table's rows as JSON: a record of fields that are all a union of null and their type. A field
/// whose column has another name says so in its property `column`.
std::string avro_schema(const TableShape& shape);

}  // namespace tailrace::lake
