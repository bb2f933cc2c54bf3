#pragma once

#include "pipeline/catalog.h"
#include "pipeline/sqlite_statement.h"

namespace tailrace::pipeline {

/// Lives for one call, under the catalog's mutex.
class Catalog::Statement : public SqliteStatement {
 public:
  Statement(Catalog& catalog, const char* sql) : SqliteStatement(catalog.db_, catalog.path_, sql) {}
};

}  // namespace tailrace::pipeline
