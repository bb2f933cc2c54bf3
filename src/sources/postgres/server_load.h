#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/time.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/spec.h"
#include "sources/source.h"

namespace tailrace::postgres {

/// Holds a copy's readers up while the server has more other work than the spec allows. Owned by the copy; any thread.
/// It has a connection of its own and asks twice a second at most. A reader waits a few seconds per block at the
/// longest: a copy that stood still would keep its snapshot for ever, which does more harm than a few blocks.
class ServerLoad {
 public:
  /// Null where the spec sets no bound.
  static std::unique_ptr<ServerLoad> make(const SourceSpec& spec);
  explicit ServerLoad(SourceSpec spec) : spec_(std::move(spec)) {}

  /// Returns when the server has no more work than it may, after a few seconds, or when stopped. Throws RefusedError
  /// TR140 where the role may not see it.
  void wait(sources::CopyProgress& progress, const std::stop_token& stop);

 private:
  bool too_much(const std::stop_token& stop);
  bool look(const std::stop_token& stop);

  const SourceSpec spec_;
  std::mutex mutex_;
  std::unique_ptr<Connection> connection_;
  SteadyClock::time_point looked_;
  bool too_much_ = false;
};

/// Whether the role may see what other sessions do.
bool sees_server_load(Connection& sql);
/// What to do where it may not.
std::string server_load_remedy(Connection& sql);
inline constexpr const char* kServerLoadHidden =
    "snapshot.max_active_sessions or max_replica_lag is set, but the role may not see what other sessions do";

}  // namespace tailrace::postgres
