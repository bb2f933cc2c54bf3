#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/stream_session.h"

namespace tailrace::postgres {

/// A look at the whole catalog takes at most one part in so many of the time.
inline constexpr int kLookShare = 200;

/// What a look at the catalog saw: one number per published table, which is another whenever anything differs that a
/// Relation says. A value.
struct TableNumbers {
  struct Table {
    std::uint64_t number = 0;
    std::string schema;
    std::string name;

    bool operator==(const Table&) const = default;
  };
  std::map<Oid, Table> tables;

  /// As text that is to be remembered.
  std::string str() const;
  static TableNumbers parse(std::string_view text);
  bool operator==(const TableNumbers&) const = default;
};

/// The numbers of these tables now.
TableNumbers read_table_numbers(Connection& sql, const std::vector<PublishedTable>& tables,
                                const std::vector<std::string>& publications);

/// Looks at the catalog beside the stream and describes tables that changed without a change of their rows
/// (docs/schema-changes.md, "Changes without rows"). Lives as long as the source; source thread only.
class TableWatch {
 public:
  /// `every`: zero: never.
  TableWatch(std::vector<std::string> patterns, std::chrono::milliseconds every)
      : patterns_(std::move(patterns)), every_(every) {}

  /// A connection begins. `remembered`: what the log was told of in an earlier life (TableNumbers::str()).
  void begin(std::string_view remembered);
  /// To be called about once a second, between two messages of the session. Gives what is to be remembered once the log
  /// was told of something; mostly nothing.
  std::optional<std::string> tick(StreamSession& session, const TransactionLog& log, Connection& sql, Catalog& catalog,
                                  const std::vector<std::string>& publications);

 private:
  /// Versions that are true at the log's end, in the order in which they are to be written there; mostly none.
  std::vector<RelationPtr> look(Connection& sql, Catalog& catalog, const std::vector<std::string>& publications,
                                Lsn log_end);
  struct Difference {
    /// The catalog said so before the WAL was here.
    Lsn seen;
    TableNumbers numbers;
  };
  void begin_look(Connection& sql, Catalog& catalog, const std::vector<std::string>& publications);
  std::vector<RelationPtr> describe(Connection& sql, Catalog& catalog, const std::vector<std::string>& publications);

  const std::vector<std::string> patterns_;
  const std::chrono::milliseconds every_;
  SteadyClock::time_point next_{};
  /// What the decoder was told of, and what of it is durable in the log.
  std::optional<TableNumbers> known_;
  std::optional<TableNumbers> confirmed_;
  std::optional<Difference> difference_;
  /// Descriptions are on their way: where in the log they end, 0 while they have no place yet.
  std::optional<Lsn> told_until_;
};

}  // namespace tailrace::postgres
