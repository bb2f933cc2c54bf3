#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sources/postgres/catalog.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// A table that could be published: permanent, not of the system, not a partition's parent.
struct Candidate {
  Oid oid;
  std::string schema;
  std::string name;
  /// A replica identity by which updates and deletes can be published.
  bool has_identity = false;
  bool deferrable_key = false;
  bool may_select = false;
  bool may_publish = false;
  bool row_security = false;
};

/// All tables of the database that the patterns want, in order of schema and name.
std::vector<Candidate> find_candidates(Connection& sql, const std::vector<std::string>& patterns);

/// Names of the publications that this spec uses on the server now: its own and, where it exists, the one of tables
/// without identity.
std::vector<std::string> existing_publications(Connection& sql, const SourceSpec& spec);

/// Makes the publications for `tables`, or finds them there, and gives their names. `remember` is given those that are
/// made, before anybody sees them. Throws RefusedError: missing and not to be made (TR119), not allowed (TR106).
std::vector<std::string> ensure_publications(Connection& sql, const SourceSpec& spec,
                                             const std::vector<Candidate>& tables,
                                             const std::function<void(const std::vector<Oid>& made)>& remember);

/// Those of `names` that are none of `made`.
std::vector<std::string> publications_of_others(Connection& sql, const std::vector<std::string>& names,
                                                const std::vector<Oid>& made);

/// The statements that make them, for whoever may.
std::string publication_sql(const Connection& sql, const SourceSpec& spec, const std::vector<Candidate>& tables);

/// Those of `tables` that no publication of these holds (nor an ancestor of them), as text for people; empty when there
/// are none.
std::string unpublished_tables(Connection& sql, const std::vector<std::string>& publications,
                               const std::vector<Candidate>& tables);

/// Throws RefusedError (TR119) when these publications, existing as they are, lack some of `tables` or have none of the
/// tables that are wanted.
void refuse_unfit_publications(Connection& sql, const SourceSpec& spec, const std::vector<std::string>& publications,
                               const std::vector<Candidate>& tables);

/// Whether a publication lets inserts, updates and deletes through.
bool publishes_all_changes(Connection& sql, const std::string& publication);

/// `query` with `part` in the place of "$schemas" where publications may hold whole schemas (server 15 and later), and
/// with nothing there where they may not.
std::string with_schemas(const Connection& sql, std::string query, const char* part);

/// The tables of publications and their row filters as text that is to be remembered and compared.
std::string describe_publication(const std::vector<PublishedTable>& tables);
/// Tables of `then` that `now` lacks, as text for people; empty when there are none. Both as
/// describe_publication() gave them.
std::string lost_tables(std::string_view then, std::string_view now);

}  // namespace tailrace::postgres
