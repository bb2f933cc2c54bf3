#include "sources/postgres/ddl_trigger.h"

#include <string>

#include "sources/postgres/stream_decoder.h"

namespace tailrace::postgres {
namespace {

constexpr int kFirstWithMessages = 140000;

/// Nothing that goes wrong in it reaches the statement, and whoever runs that needs no rights for it.
std::string trigger_sql() {
  return std::string(
             "CREATE FUNCTION public.tailrace_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET "
             "search_path = pg_catalog AS $$ BEGIN PERFORM pg_logical_emit_message(true, '") +
         kDdlPrefix +
         "', ''); EXCEPTION WHEN OTHERS THEN NULL; END $$; CREATE EVENT TRIGGER tailrace_ddl ON ddl_command_end "
         "EXECUTE FUNCTION public.tailrace_ddl();";
}

}  // namespace

std::vector<sources::Finding> examine_ddl_trigger(Connection& sql) {
  if (sql.server_version() < kFirstWithMessages)
    return {{"TR136", sources::Severity::kWarning, "DDL messages",
             "servers before 14 do not send them: DDL is noticed by the poll (catalog_poll)", ""}};
  const Rows found = sql.query(
      "SELECT FROM pg_event_trigger WHERE evtname = 'tailrace_ddl' AND evtevent = 'ddl_command_end' AND evtenabled <> "
      "'D'",
      "looking for the event trigger");
  if (!found.empty()) return {};
  return {{"TR136", sources::Severity::kWarning, "DDL messages",
           "ddl_messages is on, and the database has no event trigger that writes them; DDL is noticed by the poll",
           trigger_sql() + " -- as a superuser"}};
}

}  // namespace tailrace::postgres
