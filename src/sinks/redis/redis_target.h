#pragma once

#include <memory>
#include <string>

#include "sinks/redis/connection.h"
#include "sinks/redis/spec.h"
#include "sinks/row_target.h"

namespace tailrace::redis {

/// Rows in a Redis server, each under a key of its own, as members of sets, or as events. Rows and state of one write
/// are one MULTI (see RowTarget).
class RedisTarget final : public sinks::RowTarget {
 public:
  explicit RedisTarget(RedisSpec spec);
  ~RedisTarget() override;

  sinks::RowTraits traits() const override;
  sinks::StateMap open() override;
  std::unique_ptr<sinks::RowWriter> writer() override;
  std::string obstacle(const Relation& relation) const override;
  const char* refusal_of(const sinks::RowChange& change) const override;
  void make_table(const Relation& relation, bool ours) override;
  void empty_table(const Relation& relation) override;
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override;
  void release() override;

 private:
  /// One node of a cluster has a part of the keys only. Throws RefusedError TR813.
  void refuse_cluster();
  /// Calls `take` with lots of keys that rows of the table may have.
  template <typename Take>
  void scan(const Relation& relation, Take take);
  void remove_keys(const Relation& relation);

  const RedisSpec spec_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace tailrace::redis
