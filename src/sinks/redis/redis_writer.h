#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "formats/row_json.h"
#include "sinks/event_json.h"
#include "sinks/redis/connection.h"
#include "sinks/redis/spec.h"
#include "sinks/row_target.h"

namespace tailrace::redis {

/// Writes over one connection (see RowWriter).
class RedisWriter final : public sinks::RowWriter {
 public:
  /// `spec` outlives it.
  explicit RedisWriter(const RedisSpec& spec);
  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;

 private:
  /// What one version of a table needs to be written. Lives for one write().
  struct Shape {
    explicit Shape(const Relation& relation, const RedisSpec& spec);
    const Relation& relation;
    formats::RowJson json;
    sinks::EventJson events;
    formats::BoundTemplate key;
    formats::BoundTemplate member;
    std::size_t score = 0;
  };
  const Shape& shape_of(const Relation& relation);
  void add(const sinks::RowChange& change);
  void add_hash(const Shape& shape, const std::string& key, const sinks::RowChange& change);
  void add_member(const Shape& shape, const std::string& key, const sinks::RowChange& change);
  void add_event(const Shape& shape, const std::string& key, const sinks::RowChange& change);
  void add_state(const sinks::StateChanges& state);
  void see_answers(const std::vector<Reply>& replies, std::span<const sinks::RowChange> changes);
  /// Streams and sets are written beside what is there: it has to be of their type.
  void see_types(std::span<const sinks::RowChange> changes);

  const RedisSpec& spec_;
  Connection connection_;
  const std::string display_;
  std::unordered_map<const Relation*, std::unique_ptr<Shape>> shapes_;
  /// Keys whose type was seen, some of them.
  std::unordered_set<std::string> seen_keys_;
  /// Per command between MULTI and EXEC: whether it is a streamed change's entry, which may be there already.
  std::vector<bool> may_repeat_;
};

/// Whether Redis reads it as a score.
bool is_score(std::string_view text);

}  // namespace tailrace::redis
