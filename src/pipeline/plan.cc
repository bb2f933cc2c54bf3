#include "pipeline/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "pipeline/control_client.h"
#include "pipeline/state_directory.h"

namespace tailrace::pipeline {
namespace {

using Json = nlohmann::ordered_json;
using Tables = std::set<sources::TableName>;

/// A finding of the source about one table, which is its title.
constexpr const char* kNotPublished = "TR133";

std::string shown(const sources::TableName& table) { return table.first + "." + table.second; }

/// The pipeline as its state knows it.
struct Known {
  std::vector<SinkRecord> sinks;
  /// Tables that were followed last.
  Tables tables;
  std::string source;
  std::string slot;
  std::string publication;
  std::string source_id;
};

Known read_known(Catalog& catalog) {
  Known known;
  known.sinks = catalog.sinks();
  known.source = catalog.text("source");
  known.slot = catalog.text("slot");
  known.publication = catalog.text("publication");
  known.source_id = catalog.source_id();
  std::map<std::uint32_t, RelationPtr> last;
  for (const SchemaVersion& version : catalog.schema_versions()) last[version.relation->oid.value()] = version.relation;
  for (const auto& [oid, relation] : last)
    if (relation->standing == Standing::kFollowed) known.tables.emplace(relation->schema, relation->name);
  return known;
}

void refuse(Plan& plan, const std::string& sink, const Error& error) {
  plan.changes.push_back({PlannedKind::kRefused, sink, "", error.code(), error.what()});
}

/// The tables that are wanted; what the source has against it is in the plan.
Tables plan_source(const PipelineSpec& spec, const Known& known, Plan& plan) {
  const auto differs = [&plan](const std::string& was, const std::string& is, const char* what) {
    if (!was.empty() && was != is)
      plan.changes.push_back(
          {PlannedKind::kSourceChanged, "", "", "", fmt::format("{} was {} and is {}", what, was, is)});
  };
  differs(known.source, spec.source.display, "the source");
  differs(known.slot, spec.source.slot, "the slot");
  differs(known.publication, spec.source.publication, "the publication");
  Tables tables;
  if (!spec.source.check) return tables;
  const sources::SourceCheck check = spec.source.check(known.slot == spec.source.slot);
  std::set<std::string> not_followed;
  for (const sources::Finding& finding : check.findings) {
    if (finding.severity == sources::Severity::kError)
      plan.changes.push_back({PlannedKind::kRefused, "", "", finding.code, finding.what});
    if (finding.code != kNotPublished) continue;
    not_followed.insert(finding.title);
    plan.changes.push_back({PlannedKind::kTableNotFollowed, "", finding.title, finding.code, finding.what});
  }
  for (const sources::SourceTable& table : check.tables)
    if (!not_followed.contains(shown(table.name))) tables.insert(table.name);
  return tables;
}

void plan_copies(const std::string& sink, const Tables& tables, Plan& plan) {
  for (const sources::TableName& table : tables)
    plan.changes.push_back({PlannedKind::kTableCopied, sink, shown(table), "", shown(table) + " is copied"});
}

void plan_sink(const PipelineSpec& spec, const SinkSetup& setup, const Known& known, const Tables& wanted, Plan& plan) {
  if (!goes_on(known.sinks, setup)) {
    plan.changes.push_back(
        {PlannedKind::kSinkAdded, setup.name, "", "",
         fmt::format("{} is new to this pipeline: it is filled by a copy of {} tables while the others go on",
                     setup.display, wanted.size())});
    plan_copies(setup.name, wanted, plan);
    return;
  }
  Tables added;
  std::ranges::set_difference(wanted, known.tables, std::inserter(added, added.end()));
  plan_copies(setup.name, added, plan);
  for (const sources::TableName& table : known.tables)
    if (spec.source.wanted && !spec.source.wanted(table.first, table.second))
      plan.changes.push_back({PlannedKind::kTableLeftOut, setup.name, shown(table), "TR618",
                              shown(table) + " is left out: it stays at the target as it is"});
}

/// What the target itself has against it. A running pipeline holds its targets.
void check_sink(const SinkSetup& setup, const Known& known, Plan& plan) {
  if (!setup.check || (plan.running && goes_on(known.sinks, setup))) return;
  try {
    setup.check({.pipeline = plan.name, .source_id = known.source_id, .tables = {}});
  } catch (const RetryError& error) {
    // The sink waits for it.
    log::info("sink.busy", "{}: {}", setup.name, error.what());
  } catch (const Error& error) {
    refuse(plan, setup.name, error);
  }
}

}  // namespace

bool goes_on(const std::vector<SinkRecord>& records, const SinkSetup& setup) {
  return std::ranges::any_of(records, [&setup](const SinkRecord& record) {
    return record.name == setup.name && record.display == setup.display && record.cursor;
  });
}

std::vector<SinkRecord> named_sinks(const PipelineSpec& spec) {
  std::vector<SinkRecord> named;
  for (const SinkSetup& sink : spec.sinks)
    named.push_back({.name = sink.name, .kind = sink.kind, .display = sink.display});
  return named;
}

const char* name_of(PlannedKind kind) {
  switch (kind) {
    case PlannedKind::kNewPipeline: return "new_pipeline";
    case PlannedKind::kSourceChanged: return "source_changed";
    case PlannedKind::kSinkAdded: return "sink_added";
    case PlannedKind::kSinkRenamed: return "sink_renamed";
    case PlannedKind::kSinkRemoved: return "sink_removed";
    case PlannedKind::kTableCopied: return "table_copied";
    case PlannedKind::kTableNotFollowed: return "table_not_followed";
    case PlannedKind::kTableLeftOut: return "table_left_out";
    case PlannedKind::kRefused: return "refused";
  }
  return "";
}

bool Plan::refused() const {
  return std::ranges::any_of(changes, [](const PlannedChange& change) { return change.kind == PlannedKind::kRefused; });
}

Plan plan_pipeline(const PipelineSpec& spec) {
  Plan plan{.name = spec.name, .changes = {}};
  Known known;
  const StatePaths paths{spec.state};
  SinkChanges changes;
  std::error_code missing;
  if (std::filesystem::exists(paths.catalog(), missing)) {
    Catalog catalog(paths.catalog(), Catalog::Access::kRead);
    known = read_known(catalog);
    plan.running = ControlClient::connect(paths).has_value();
    try {
      changes = catalog.changes_to(named_sinks(spec));
    } catch (const BadConfigError& error) {
      refuse(plan, "", error);
    }
  } else {
    plan.changes.push_back({PlannedKind::kNewPipeline, "", "", "",
                            fmt::format("{} is not known yet: publication and slot are made", spec.name)});
  }
  for (const auto& [from, to] : changes.renamed) {
    std::erase_if(known.sinks, [&to](const SinkRecord& record) { return record.name == to; });
    for (SinkRecord& record : known.sinks)
      if (record.name == from) record.name = to;
    plan.changes.push_back({PlannedKind::kSinkRenamed, to, "", "",
                            fmt::format("{} is called {}; its cursor and dead letters go with it", from, to)});
  }
  for (const SinkRecord& sink : changes.detached)
    if (sink.attached)
      plan.changes.push_back({PlannedKind::kSinkRemoved, sink.name, "", "TR521",
                              fmt::format("{} gets nothing more; its cursor and {} dead letters are kept", sink.display,
                                          sink.dead_letters)});
  const Tables wanted = plan_source(spec, known, plan);
  for (const SinkSetup& setup : spec.sinks) {
    plan_sink(spec, setup, known, wanted, plan);
    check_sink(setup, known, plan);
  }
  return plan;
}

Json to_json(const Plan& plan) {
  Json changes = Json::array();
  for (const PlannedChange& change : plan.changes)
    changes.push_back({{"what", name_of(change.kind)},
                       {"sink", change.sink.empty() ? Json(nullptr) : Json(change.sink)},
                       {"table", change.table.empty() ? Json(nullptr) : Json(change.table)},
                       {"code", change.code.empty() ? Json(nullptr) : Json(change.code)},
                       {"text", change.text}});
  return {{"name", plan.name}, {"running", plan.running}, {"refused", plan.refused()}, {"changes", std::move(changes)}};
}

}  // namespace tailrace::pipeline
