#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/source_memory.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// A pair of sessions: one to stream, one to ask. Of the source's thread.
struct Sessions {
  std::unique_ptr<Connection> replication;
  std::unique_ptr<Connection> sql;
};

/// Both with one server, also when several are listed. Throws as Connection::open() does.
Sessions open_sessions(const SourceSpec& spec, const std::stop_token& stop);

/// The newest version of the replication protocol that the server speaks.
int protocol_for(int server_version);

/// What begins the stream at `start`; `parallel`: more is to be told of transactions in progress that abort.
std::string start_command(const Connection& replication, const SourceFacts& facts,
                          const std::vector<std::string>& publications, bool parallel, Lsn start);

/// How often the server is to hear of us so that it does not give the link up.
std::chrono::milliseconds status_interval(Connection& replication);

}  // namespace tailrace::postgres
