#pragma once

#include <vector>

#include "config/document.h"
#include "config/schema.h"
#include "rules/row_rules.h"

/// What a pipeline file says of rows under `validate`.
namespace tailrace::pipeline {

config::FieldDoc rules_field();

/// `node`: the map from patterns of tables to their rules. Throws ConfigError TR870 with the place.
std::vector<rules::TableRules> read_rules(const config::Node& node, const config::Reading& reading);

}  // namespace tailrace::pipeline
