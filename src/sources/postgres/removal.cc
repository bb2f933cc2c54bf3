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

}  // namespace

void drop_at_source(const SourceSpec& spec, bool slot, bool publication) {
  const auto sql = Connection::open(spec, ConnectionKind::kSql);
  if (slot)
    sql->query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", {spec.slot},
               "dropping the slot");
  if (!publication) return;
  for (const std::string& name : existing_publications(*sql, spec))
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
