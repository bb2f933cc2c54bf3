#pragma once

#include <string>

#include "cli/registry.h"
#include "pipeline/pipeline_file.h"

/// What registry.cc lists, by kind; each in <kind>_registration.cc.
namespace tailrace::cli {

pipeline::SourceKind postgres_kind();
pipeline::SourceSetup postgres_source(const SourceRequest& request);

pipeline::SinkKind duckdb_kind();
/// A file, with every table's history or none.
pipeline::SinkSetup duckdb_file(const std::string& name, const std::string& path, bool history);

}  // namespace tailrace::cli
