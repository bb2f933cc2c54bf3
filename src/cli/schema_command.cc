#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "pipeline/catalog.h"
#include "pipeline/state_directory.h"

namespace tailrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using pipeline::Catalog;
using pipeline::SchemaVersion;

struct HistoryRequest {
  std::string name;
  std::string table;
};

/// The oids of tables that have or had this name, bare or as SCHEMA.TABLE.
bool is_meant(const std::vector<SchemaVersion>& versions, const Oid oid, const std::string& table) {
  return table.empty() || std::ranges::any_of(versions, [&](const SchemaVersion& version) {
           const Relation& relation = *version.relation;
           return relation.oid == oid && (relation.name == table || relation.display_name() == table);
         });
}

Json to_json(const SchemaVersion& version) {
  Json columns = Json::array();
  for (const Column& column : version.relation->columns)
    columns.push_back({{"name", column.name}, {"type", column.type.display}, {"not_null", column.not_null}});
  return {{"table", version.relation->display_name()},
          {"oid", version.relation->oid.value()},
          {"lsn", version.from.commit_end.str()},
          {"position", version.from.str()},
          {"since", version.since.str()},
          {"what", version.what},
          {"columns", std::move(columns)}};
}

ExitCode show_history(const HistoryRequest& request, const GlobalOptions& globals) {
  Catalog catalog(pipeline::find_state(globals.state, request.name).catalog(), Catalog::Access::kRead);
  std::vector<SchemaVersion> versions = catalog.schema_versions();
  const std::vector<SchemaVersion> all = versions;
  std::erase_if(versions,
                [&](const SchemaVersion& version) { return !is_meant(all, version.relation->oid, request.table); });
  if (versions.empty() && !request.table.empty())
    throw BadConfigError("TR219", "no version of a table " + request.table + " is known",
                         "give it as SCHEMA.TABLE; without it all tables are shown");
  if (globals.json) {
    Json list = Json::array();
    for (const SchemaVersion& version : versions) list.push_back(to_json(version));
    fmt::print("{}\n", list.dump());
    return ExitCode::kDone;
  }
  for (const SchemaVersion& version : versions)
    fmt::print("{:<18} {:<20} {:<24} {}\n", version.from.commit_end.str(), version.since.str().substr(0, 19),
               version.relation->display_name(), version.what);
  return ExitCode::kDone;
}

}  // namespace

void add_schema_command(Frame& frame) {
  auto request = std::make_shared<HistoryRequest>();
  CLI::App* group = frame.group("schema", "The versions of the followed tables");
  CLI::App* command =
      frame.command_below(group, "history", "List the versions of tables, by their places in the log",
                          "tailrace schema history shop orders",
                          [request](const GlobalOptions& globals) { return show_history(*request, globals); });
  command->add_option("name", request->name, "Pipeline (default: the only one here)")->type_name("NAME");
  command->add_option("table", request->table, "Only this table, under any of its names")->type_name("TABLE");
}

}  // namespace tailrace::cli
