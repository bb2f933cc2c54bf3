#include "sources/postgres/upgrade.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/log.h"

namespace tailrace::postgres {
namespace {

/// The oids that describe_publication() noted, as an array's text; empty when none are remembered.
std::string published_oids(std::string_view published) {
  std::string oids;
  while (!published.empty()) {
    const std::string_view line = published.substr(0, published.find('\n'));
    published.remove_prefix(std::min(line.size() + 1, published.size()));
    oids += (oids.empty() ? "{" : ",") + std::string(line.substr(0, line.find('\t')));
  }
  return oids.empty() ? oids : oids + "}";
}

/// Whether the tables that were published when the slot was made are still here. Some may have been dropped since.
bool has_the_tables(Connection& sql, const SourceFacts& facts) {
  const std::string oids = published_oids(facts.published);
  if (oids.empty()) return false;
  const Rows rows = sql.query(
      "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1::oid[]) AND "
      "strpos($2, c.oid::text || chr(9)) > 0 AND strpos($2, chr(9) || n.nspname || '.' || c.relname || chr(10)) > 0",
      {oids, facts.published}, "looking for the tables that were followed");
  return rows.number(0, 0) > 0;
}

}  // namespace

std::uint64_t followed_cluster(const SourceFacts& facts) {
  return facts.upgraded_to != 0 ? facts.upgraded_to : facts.system_identifier;
}

std::optional<SourceFacts> follow_upgrade(Connection& sql, const ServerIdentity& server, const SourceSpec& spec,
                                          const SourceFacts& facts, TransactionLog& log) {
  const Lsn end = log.end().commit_end;
  if (server.system_identifier == followed_cluster(facts) || server.database != facts.database ||
      server.flushed <= end || !has_the_tables(sql, facts))
    return std::nullopt;
  const auto slot = read_slot(sql, facts.slot);
  if (!slot || slot->plugin != "pgoutput" || slot->temporary || slot->wal_status == "lost" || slot->confirmed <= end)
    return std::nullopt;
  if (!spec.accept_upgrade)
    throw RefusedError(
        "TR139",
        "this cluster is not the one that was followed, but has its tables and slot: pg_upgrade seems to "
        "have made it; the slot begins at " +
            slot->confirmed.str(),
        "if so, and the slot came along: start once with --accept-upgrade (accept_upgrade: true)");
  log.progress(slot->confirmed);
  log.sync();
  SourceFacts updated = facts;
  updated.upgraded_to = server.system_identifier;
  updated.timeline = server.timeline;
  updated.consistent_point = slot->confirmed;
  log::warn("source.upgraded",
            "an upgraded cluster is followed from {} on, as was asked; `tailrace verify` proves it right",
            slot->confirmed.str());
  return updated;
}

}  // namespace tailrace::postgres
