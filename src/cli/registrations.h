#pragma once

#include "pipeline/pipeline_file.h"

/// One function per kind, each in <kind>_registration.cc; registry.cc lists them.
namespace tailrace::cli {

pipeline::SourceKind postgres_kind();
pipeline::SinkKind duckdb_kind();

}  // namespace tailrace::cli
