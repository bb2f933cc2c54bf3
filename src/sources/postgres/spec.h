#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace tailrace::postgres {

/// What becomes of a pipeline whose slot is gone or was given up by the server: it ends and says so, or it goes on
/// behind the gap and copies the tables again.
enum class OnLostSlot : std::uint8_t { kStop, kRepair };

enum class SnapshotMode : std::uint8_t { kInitial, kNever };

/// Whether the server sends transactions while they are in progress (14 and later). kParallel: with more told of an
/// abort (16 and later; an older server is asked for kOn).
enum class StreamingMode : std::uint8_t { kOff, kOn, kParallel };

/// What to read from which PostgreSQL database. A value, as the user or a command gave it.
struct SourceSpec {
  /// URI or keyword form, with all of libpq's options; environment and service files count too. Holds secrets: never
  /// logged.
  std::string conninfo;
  /// TablePatterns; the system's own schemas are never meant.
  std::vector<std::string> tables;
  std::string slot = "tailrace";
  /// The slot exists, made by somebody else: it is read from where it stands instead of being made.
  bool adopt_slot = false;
  /// The server is what pg_upgrade made of the one that was followed, says the user.
  bool accept_upgrade = false;
  OnLostSlot on_lost_slot = OnLostSlot::kStop;
  /// Tables without a usable replica identity go to a second publication of inserts and truncates, named with the
  /// suffix "_append", so that no UPDATE or DELETE of the application fails.
  std::string publication = "tailrace";
  /// Off: the publication must exist and is used as it is.
  bool create_publication = true;
  SnapshotMode snapshot = SnapshotMode::kInitial;
  StreamingMode streaming = StreamingMode::kOn;
  /// Connections that read a copy.
  int copy_readers = 2;
  /// For all of them together; 0: no limit.
  int copy_rows_per_second = 0;
  /// A copy nearly stands still while more sessions of others than that are at work on the server, or a standby or
  /// subscriber of others is more bytes behind; 0: no limit.
  int copy_max_active_sessions = 0;
  std::uint64_t copy_max_replica_lag = 0;
  std::chrono::seconds connect_timeout{10};
  /// A link on which nothing arrives for so long, though answers were asked for, is given up.
  std::chrono::seconds silence_limit{60};
  /// How often the catalog is looked at for tables that change without a change of their rows; 0: never.
  std::chrono::seconds catalog_poll{10};
  /// An event trigger in the database writes logical messages of DDL.
  bool ddl_messages = false;
};

}  // namespace tailrace::postgres
