#pragma once

#include <string>

#include "cli/registry.h"
#include "pipeline/pipeline_file.h"
#include "rules/row_rules.h"

/// What registry.cc lists, by kind; each in <kind>_registration.cc.
namespace tailrace::cli {

pipeline::SourceKind postgres_kind();
pipeline::SourceSetup postgres_source(const SourceRequest& request);

pipeline::SinkKind duckdb_kind();
/// A file, with every table's history or none.
pipeline::SinkSetup duckdb_file(const std::string& name, const std::string& path, bool history);

/// Conditions in DuckDB's SQL, for the rules of rows.
rules::ConditionMaker sql_conditions();

pipeline::SinkKind clickhouse_kind();
/// The last version of each row, in tables of the same names. Throws BadConfigError TR848.
pipeline::SinkSetup clickhouse_server(const std::string& name, const std::string& url);

pipeline::SinkKind redis_kind();
/// A hash for each row, under the usual keys. Throws BadConfigError TR820.
pipeline::SinkSetup redis_server(const std::string& name, const std::string& url);

pipeline::SinkKind webhook_kind();
/// Every change as a JSON object of its own. Throws BadConfigError TR830.
pipeline::SinkSetup webhook_receiver(const std::string& name, const std::string& url);

pipeline::SinkKind lake_kind();
/// Parquet in folders SCHEMA/TABLE; of a bucket, with what the environment says. Throws BadConfigError TR857.
pipeline::SinkSetup lake_place(const std::string& name, const std::string& url);

pipeline::SinkKind snowflake_kind();

}  // namespace tailrace::cli
