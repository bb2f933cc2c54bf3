#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sources/comparison.h"
#include "sources/postgres/connection.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// PostgreSQL's side of a comparison (see sources::Comparison). Rows are hashed by the server itself.
class PostgresComparison final : public sources::Comparison {
 public:
  /// Connects at the first call. `stop` ends a query in flight with a RetryError.
  PostgresComparison(SourceSpec spec, std::stop_token stop);
  ~PostgresComparison() override;

  std::vector<sources::TableToCompare> tables() override;
  std::optional<std::int64_t> range_end(const sources::TableToCompare& table, std::optional<std::int64_t> above,
                                        std::uint64_t rows) override;
  sources::FencedDigests digest(const sources::TableToCompare& table, const KeyRange& range) override;
  sources::FencedHashes list(const sources::TableToCompare& table, const KeyRange& range,
                             const std::vector<std::size_t>& buckets) override;
  FencedRows read(const sources::TableToCompare& table, const std::vector<std::string>& keys) override;
  std::vector<Xid> running() override;

 private:
  /// Calls `use` with the connection; after a throw that is a new one.
  template <typename Use>
  auto with_connection(Use use);

  const SourceSpec spec_;
  const std::stop_token stop_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace tailrace::postgres
