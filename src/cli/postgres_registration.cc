#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/table_patterns.h"
#include "cli/registrations.h"
#include "config/schema.h"
#include "sources/postgres/postgres_comparison.h"
#include "sources/postgres/postgres_source.h"
#include "sources/postgres/preflight.h"
#include "sources/postgres/removal.h"

namespace tailrace::cli {
namespace {

using config::Need;
using config::Object;
using config::Privacy;
using postgres::OnLostSlot;
using postgres::SnapshotMode;
using postgres::SourceFacts;
using postgres::SourceSpec;
using postgres::StreamingMode;

/// Keeps the source's facts in the pipeline's catalog.
class CatalogMemory final : public postgres::SourceMemory {
 public:
  explicit CatalogMemory(pipeline::FactStore& store) : store_(store) {}

  std::optional<SourceFacts> load() override {
    const std::optional<std::string> text = store_.load_facts();
    if (!text) return std::nullopt;
    try {
      const nlohmann::json json = nlohmann::json::parse(*text);
      SourceFacts facts;
      facts.system_identifier = json.at("system_identifier").get<std::uint64_t>();
      facts.timeline = json.at("timeline").get<std::uint32_t>();
      facts.database = Oid(json.at("database").get<std::uint32_t>());
      facts.slot = json.at("slot").get<std::string>();
      facts.publication = json.at("publication").get<std::string>();
      facts.consistent_point = Lsn(json.at("consistent_point").get<std::uint64_t>());
      facts.acknowledged = Lsn(json.at("acknowledged").get<std::uint64_t>());
      facts.protocol = json.at("protocol").get<int>();
      facts.streaming = json.at("streaming").get<bool>();
      facts.published = json.value("published", "");
      facts.upgraded_to = json.value("upgraded_to", std::uint64_t{0});
      facts.adopted_until = Lsn(json.value("adopted_until", std::uint64_t{0}));
      facts.tables = json.value("tables", "");
      facts.next_epoch = json.value("next_epoch", std::uint32_t{0});
      if (json.contains("made_publications")) {
        facts.made_publications.emplace();
        for (const nlohmann::json& oid : json.at("made_publications"))
          facts.made_publications->emplace_back(oid.get<std::uint32_t>());
      }
      return facts;
    } catch (const nlohmann::json::exception& error) {
      throw CorruptionError("TR515", std::string("the catalog's facts of the source cannot be read: ") + error.what(),
                            "use the version of Tailrace that wrote them");
    }
  }

  void save(const SourceFacts& facts) override {
    nlohmann::json json = {{"system_identifier", facts.system_identifier},
                           {"timeline", facts.timeline},
                           {"database", facts.database.value()},
                           {"slot", facts.slot},
                           {"publication", facts.publication},
                           {"consistent_point", facts.consistent_point.value()},
                           {"acknowledged", facts.acknowledged.value()},
                           {"protocol", facts.protocol},
                           {"streaming", facts.streaming},
                           {"published", facts.published},
                           {"upgraded_to", facts.upgraded_to},
                           {"adopted_until", facts.adopted_until.value()},
                           {"tables", facts.tables},
                           {"next_epoch", facts.next_epoch}};
    if (facts.made_publications) {
      json["made_publications"] = nlohmann::json::array();
      for (const Oid oid : *facts.made_publications) json["made_publications"].push_back(oid.value());
    }
    store_.save_facts(json.dump(),
                      std::to_string(facts.system_identifier) + "/" + std::to_string(facts.database.value()));
  }

 private:
  pipeline::FactStore& store_;
};

/// The source, and the memory it refers to.
class RememberingSource final : public sources::Source {
 public:
  RememberingSource(const SourceSpec& spec, pipeline::FactStore& facts, TransactionLog& log)
      : memory_(facts), source_(spec, memory_, log) {}

  void prepare(std::stop_token stop) override { source_.prepare(std::move(stop)); }
  void accept_gap() override { source_.accept_gap(); }
  void stream(std::stop_token stop) override { source_.stream(std::move(stop)); }
  std::unique_ptr<sources::Copy> begin_copy(std::stop_token stop,
                                            const std::vector<sources::TableName>& only) override {
    return source_.begin_copy(std::move(stop), only);
  }
  FencedRows read_keys(const RelationPtr& relation, const std::vector<std::string>& keys,
                       std::stop_token stop) override {
    return source_.read_keys(relation, keys, std::move(stop));
  }
  void check_condition(const sources::TableName& table, const std::string& where) override {
    source_.check_condition(table, where);
  }
  sources::SourceStatus status() const override { return source_.status(); }
  Lsn request_current_end() override { return source_.request_current_end(); }

 private:
  CatalogMemory memory_;
  postgres::PostgresSource source_;
};

struct PublicationDraft {
  std::string name;
  bool create = true;
};
struct SnapshotDraft {
  SnapshotMode mode = SnapshotMode::kInitial;
  int parallel = SourceSpec().copy_readers;
  int rows_per_second = SourceSpec().copy_rows_per_second;
  int max_active_sessions = SourceSpec().copy_max_active_sessions;
  std::uint64_t max_replica_lag = SourceSpec().copy_max_replica_lag;
};
struct PostgresDraft {
  std::string url;
  std::vector<std::string> tables;
  std::string slot;
  bool adopt_slot = false;
  bool accept_upgrade = false;
  OnLostSlot on_lost_slot = SourceSpec().on_lost_slot;
  StreamingMode streaming = SourceSpec().streaming;
  PublicationDraft publication;
  SnapshotDraft snapshot;
  std::chrono::seconds connect_timeout = SourceSpec().connect_timeout;
  std::chrono::seconds silence_limit = SourceSpec().silence_limit;
  std::chrono::seconds catalog_poll = SourceSpec().catalog_poll;
  bool ddl_messages = false;
};

Object<PostgresDraft> postgres_object() {
  Object<PublicationDraft> publication("The publication that is read.");
  publication.text("name", &PublicationDraft::name, "Default `tailrace_NAME`.")
      .truth("create", &PublicationDraft::create, "Off: it must exist and is used as it is.");
  Object<SnapshotDraft> snapshot("The copy of what is there already.");
  snapshot
      .choice<SnapshotMode>("mode", &SnapshotDraft::mode,
                            {{"initial", SnapshotMode::kInitial}, {"never", SnapshotMode::kNever}},
                            "`never`: only what changes from now on.")
      .integer("parallel", &SnapshotDraft::parallel, 1, 64, "Connections that read at once.")
      .integer("rows_per_second", &SnapshotDraft::rows_per_second, 0, 1'000'000'000,
               "Reads no more than that, also of tables that are copied again; 0: as fast as it goes.")
      .integer("max_active_sessions", &SnapshotDraft::max_active_sessions, 0, 100'000,
               "Nearly stands still while more sessions of others than that are at work on the server; 0: whatever "
               "they do.")
      .size("max_replica_lag", &SnapshotDraft::max_replica_lag,
            "Nearly stands still while a standby or subscriber of others is further behind; 0: however far.");
  Object<PostgresDraft> source("A PostgreSQL database, read through logical replication.");
  source
      .text("url", &PostgresDraft::url, "URI or keywords, with all of libpq's options.", Need::kRequired,
            Privacy::kSecret)
      .texts("tables", &PostgresDraft::tables,
             "Patterns `schema.table` (`tailrace docs table-patterns`); default: every table.")
      .text("slot", &PostgresDraft::slot, "Replication slot; default `tailrace_NAME`.")
      .truth("adopt_slot", &PostgresDraft::adopt_slot,
             "The slot exists already, with the publication, and is taken over where it stands.")
      .truth("accept_upgrade", &PostgresDraft::accept_upgrade,
             "The server is what pg_upgrade made of the one that was followed (`tailrace docs TR139`).")
      .choice<OnLostSlot>("on_lost_slot", &PostgresDraft::on_lost_slot,
                          {{"stop", OnLostSlot::kStop}, {"repair", OnLostSlot::kRepair}},
                          "When the slot is gone or the server gave it up: `stop` and say so, or make a new one and "
                          "`repair` what differs by copies beside the stream (`tailrace docs TR115`).")
      .choice<StreamingMode>(
          "streaming", &PostgresDraft::streaming,
          {{"on", StreamingMode::kOn}, {"off", StreamingMode::kOff}, {"parallel", StreamingMode::kParallel}},
          "Large transactions are received while they are in progress; `off`: after their commit, spilled by the "
          "server.")
      .object("publication", &PostgresDraft::publication, publication)
      .object("snapshot", &PostgresDraft::snapshot, snapshot)
      .duration("connect_timeout", &PostgresDraft::connect_timeout, "For one attempt to connect to one host.")
      .duration("silence_limit", &PostgresDraft::silence_limit,
                "A link on which the server answers nothing for so long is given up and made again.")
      .duration(
          "catalog_poll", &PostgresDraft::catalog_poll,
          "How often the catalog is looked at for tables that change without a change of their rows; `0s`: never.")
      .truth(
          "ddl_messages", &PostgresDraft::ddl_messages,
          "DDL is noticed as soon as it commits, by an event trigger in the database; `tailrace check` shows its SQL.");
  return source;
}

pipeline::SourceSetup setup_of(const SourceSpec& spec) {
  return {.kind = "postgres",
          .display = postgres::without_secrets(spec.conninfo),
          .slot = spec.slot,
          .publication = spec.publication,
          .make = [spec](pipeline::FactStore& facts, TransactionLog& log) -> std::unique_ptr<sources::Source> {
            return std::make_unique<RememberingSource>(spec, facts, log);
          },
          .check = [spec](bool slot_is_ours) { return postgres::check_source(spec, slot_is_ours); },
          .compare = [spec](std::stop_token stop) -> std::unique_ptr<sources::Comparison> {
            return std::make_unique<postgres::PostgresComparison>(spec, std::move(stop));
          },
          .wanted = [patterns = TablePatterns(spec.tables)](
                        std::string_view schema, std::string_view table) { return patterns.match(schema, table); },
          .drop =
              [spec](pipeline::FactStore& facts, bool slot, bool publication) {
                postgres::drop_at_source(spec, CatalogMemory(facts).load(), slot, publication);
              }};
}

}  // namespace

pipeline::SourceSetup postgres_source(const SourceRequest& request) {
  SourceSpec spec;
  spec.conninfo = request.url;
  spec.tables = request.tables;
  spec.slot = request.slot;
  spec.publication = request.publication;
  spec.accept_upgrade = request.accept_upgrade;
  return setup_of(spec);
}

pipeline::SourceKind postgres_kind() {
  const Object<PostgresDraft> object = postgres_object();
  return {.name = "postgres",
          .doc = object.doc(),
          .read = [object](const config::Node& node, const config::Reading& reading, const std::string& pipeline) {
            PostgresDraft draft;
            object.read(draft, node, reading);
            SourceSpec spec;
            spec.conninfo = draft.url;
            spec.tables = draft.tables;
            spec.slot = draft.slot.empty() ? "tailrace_" + pipeline : draft.slot;
            spec.publication = draft.publication.name.empty() ? "tailrace_" + pipeline : draft.publication.name;
            spec.adopt_slot = draft.adopt_slot;
            spec.accept_upgrade = draft.accept_upgrade;
            spec.on_lost_slot = draft.on_lost_slot;
            spec.streaming = draft.streaming;
            // What a slot sends, its publication must have said before.
            spec.create_publication = draft.publication.create && !draft.adopt_slot;
            spec.snapshot = draft.snapshot.mode;
            spec.copy_readers = draft.snapshot.parallel;
            spec.copy_rows_per_second = draft.snapshot.rows_per_second;
            spec.copy_max_active_sessions = draft.snapshot.max_active_sessions;
            spec.copy_max_replica_lag = draft.snapshot.max_replica_lag;
            spec.connect_timeout = draft.connect_timeout;
            spec.silence_limit = draft.silence_limit;
            spec.catalog_poll = draft.catalog_poll;
            spec.ddl_messages = draft.ddl_messages;
            return setup_of(spec);
          }};
}

}  // namespace tailrace::cli
