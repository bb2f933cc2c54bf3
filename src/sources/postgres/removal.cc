#include "sources/postgres/removal.h"

#include <libpq-fe.h>

#include <memory>
#include <string_view>

#include "base/error.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/publication.h"

namespace tailrace::postgres {
namespace {

std::string quoted_value(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

void refuse_others(Connection& sql, const std::vector<std::string>& publications,
                   const std::optional<SourceFacts>& facts) {
  const bool remembered = facts && facts->made_publications;
  const std::vector<std::string> others =
      publications_of_others(sql, publications, remembered ? *facts->made_publications : std::vector<Oid>());
  if (others.empty()) return;
  std::string names;
  std::string statements;
  for (const std::string& name : others) {
    names += (names.empty() ? "" : ", ") + sql.quoted_name(name);
    statements += " DROP PUBLICATION " + sql.quoted_name(name) + ";";
  }
  const bool older = facts && !facts->made_publications;
  throw BadConfigError(
      "TR141",
      older ? "an older version of Tailrace began this pipeline and did not remember whose publication " + names + " is"
            : "publication " + names + " was not made by this pipeline",
      "leave --publication away; if nobody else reads from it:" + statements);
}

}  // namespace

void drop_at_source(const SourceSpec& spec, const std::optional<SourceFacts>& facts, bool slot, bool publication) {
  const auto sql = Connection::open(spec, ConnectionKind::kSql);
  const std::vector<std::string> publications =
      publication ? existing_publications(*sql, spec) : std::vector<std::string>();
  refuse_others(*sql, publications, facts);
  if (slot)
    sql->query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", {spec.slot},
               "dropping the slot");
  for (const std::string& name : publications)
    sql->query("DROP PUBLICATION " + sql->quoted_name(name), "dropping the publication");
}

std::string without_secrets(const std::string& conninfo) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(conninfo.c_str(), nullptr),
                                                                             &PQconninfoFree);
  if (!options)
    throw BadConfigError("TR129", "the source's URI cannot be read", "write postgresql://user@host/database");
  std::string kept;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    // libpq marks with '*' what must not be shown while it is typed.
    if (option->val == nullptr || std::string_view(option->dispchar) == "*") continue;
    kept += (kept.empty() ? "" : " ") + std::string(option->keyword) + "=" + quoted_value(option->val);
  }
  return kept;
}

}  // namespace tailrace::postgres
