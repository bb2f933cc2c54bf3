#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "sources/postgres/connection.h"
#include "sources/source.h"

namespace tailrace::postgres {

/// A table whose updates or deletes the server refuses to everybody, since a publication is to carry them and the table
/// has no replica identity. A value.
struct RefusedTable {
  Oid oid;
  std::string schema;
  std::string name;
  std::string publication;
  /// A primary key that would do is there: only the identity says otherwise.
  bool has_key = false;

  bool operator==(const RefusedTable&) const = default;
};

/// All of them among the tables that the patterns want, because of these publications; in order of schema and name.
std::vector<RefusedTable> find_refused_tables(Connection& sql, const std::vector<std::string>& publications,
                                              const std::vector<std::string>& patterns);

/// What is wrong with them (TR143) and the SQL that mends it. REQUIRES: there are some.
sources::SourceProblem refused_tables_problem(const Connection& sql, const std::vector<RefusedTable>& tables);

/// Tells of tables that lose their identity while they are published. Lives as long as the source; source thread only.
class IdentityWatch {
 public:
  /// `every`: zero: never.
  IdentityWatch(std::vector<std::string> patterns, std::chrono::milliseconds every)
      : patterns_(std::move(patterns)), every_(every) {}

  /// To be called about once a second; looks when it is time to. Whether problems() is another now.
  bool tick(Connection& sql, const std::vector<std::string>& publications);
  const std::vector<sources::SourceProblem>& problems() const { return problems_; }

 private:
  const std::vector<std::string> patterns_;
  const std::chrono::milliseconds every_;
  SteadyClock::time_point next_{};
  std::vector<RefusedTable> refused_;
  std::vector<sources::SourceProblem> problems_;
};

}  // namespace tailrace::postgres
