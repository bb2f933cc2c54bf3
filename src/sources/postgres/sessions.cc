#include "sources/postgres/sessions.h"

#include <algorithm>
#include <utility>

namespace tailrace::postgres {

int protocol_for(int server_version) {
  if (server_version >= 160000) return 4;
  if (server_version >= 150000) return 3;
  return server_version >= 140000 ? 2 : 1;
}

Sessions open_sessions(const SourceSpec& spec, const std::stop_token& stop) {
  auto replication = Connection::open(spec, ConnectionKind::kReplication, stop);
  auto sql = Connection::open_at(replication->place(), spec, ConnectionKind::kSql, stop);
  return {std::move(replication), std::move(sql)};
}

std::string start_command(const Connection& replication, const SourceFacts& facts,
                          const std::vector<std::string>& publications, bool parallel, Lsn start) {
  std::string names;
  for (const std::string& name : publications) names += (names.empty() ? "" : ",") + replication.quoted_name(name);
  std::string command = "START_REPLICATION SLOT " + replication.quoted_name(facts.slot) + " LOGICAL " + start.str() +
                        " (proto_version '" + std::to_string(facts.protocol) + "', publication_names " +
                        replication.quoted_text(names);
  if (facts.protocol >= 2) command += ", messages 'true'";
  if (facts.streaming) command += std::string(", streaming '") + (parallel ? "parallel" : "on") + "'";
  return command + ")";
}

std::chrono::milliseconds status_interval(Connection& replication) {
  const Rows rows = replication.query("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'",
                                      "reading wal_sender_timeout");
  const std::chrono::milliseconds timeout(rows.empty() ? 0 : rows.number(0, 0));
  constexpr std::chrono::milliseconds kLongest{10'000};
  return timeout.count() == 0 ? kLongest : std::clamp(timeout / 3, std::chrono::milliseconds(50), kLongest);
}

}  // namespace tailrace::postgres
