#include "sinks/redis/redis_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/crash_point.h"
#include "sinks/row_unit.h"

namespace tailrace::redis {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

/// What is forgotten is only asked again.
constexpr std::size_t kMostSeenKeys = 100'000;

/// The row that a change is about: the new one, else the old one.
bool is_repeated_entry(const Reply& reply) {
  return reply.is_error() && reply.text.find("equal or smaller") != std::string::npos;
}

}  // namespace

bool is_score(std::string_view text) {
  if (text == "Infinity" || text == "-Infinity") return true;
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size() && !std::isnan(value);
}

RedisWriter::Shape::Shape(const Relation& of, const RedisSpec& spec)
    : relation(of), json(of), events(of), key(spec.key.bind(of)) {
  if (spec.form != Form::kSortedSet) return;
  member = spec.member.bind(of);
  const auto column = std::ranges::find(of.columns, spec.score, &Column::name);
  score = static_cast<std::size_t>(column - of.columns.begin());
}

RedisWriter::RedisWriter(const RedisSpec& spec)
    : spec_(spec), connection_(spec.address), display_(spec.address.display()) {}

const RedisWriter::Shape& RedisWriter::shape_of(const Relation& relation) {
  auto& shape = shapes_[&relation];
  if (!shape) shape = std::make_unique<Shape>(relation, spec_);
  return *shape;
}

void RedisWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  shapes_.clear();
  may_repeat_.clear();
  if (changes.empty() && state.empty()) {
    connection_.ask({"PING"});
    return;
  }
  see_types(changes);
  connection_.add({"MULTI"});
  for (const RowChange& change : changes) add(change);
  add_state(state);
  connection_.add({"EXEC"});
  TAILRACE_CRASH_POINT("redis.before_exec");
  const std::vector<Reply> replies = connection_.run();
  TAILRACE_CRASH_POINT("redis.after_exec");
  see_answers(replies, changes);
}

void RedisWriter::see_types(std::span<const RowChange> changes) {
  const bool beside = spec_.form == Form::kStream || spec_.form == Form::kSortedSet;
  if (!beside) return;
  std::unordered_set<std::string> asked;
  for (const RowChange& change : changes) {
    std::string key;
    if (shape_of(*change.relation).key.append(change.row(), key) && !seen_keys_.contains(key))
      asked.insert(std::move(key));
  }
  if (asked.empty()) return;
  for (const std::string& key : asked) connection_.add({"TYPE", key});
  const std::vector<Reply> types = connection_.run();
  for (const Reply& type : types) {
    if (type.is_error()) throw_error(type, display_);
    if (type.text != "none" && type.text != (spec_.form == Form::kStream ? "stream" : "zset"))
      throw sinks::RowsRefused("TR815", fmt::format("a key of {} holds a {} that is not ours", display_, type.text),
                               "choose another `key`, or remove what is there");
  }
  if (seen_keys_.size() >= kMostSeenKeys) seen_keys_.clear();
  seen_keys_.merge(asked);
}

void RedisWriter::add(const RowChange& change) {
  const Shape& shape = shape_of(*change.relation);
  std::string key;
  shape.key.append(change.row(), key);
  switch (spec_.form) {
    case Form::kHash: return add_hash(shape, key, change);
    case Form::kJson: {
      may_repeat_.push_back(false);
      if (change.operation == RowOperation::kDelete) return connection_.add({"DEL", key});
      std::string json;
      shape.json.append(change.new_row, json);
      return connection_.add({"SET", key, json});
    }
    case Form::kSortedSet: return add_member(shape, key, change);
    case Form::kStream:
    case Form::kPublish: return add_event(shape, key, change);
  }
}

void RedisWriter::add_hash(const Shape& shape, const std::string& key, const RowChange& change) {
  may_repeat_.push_back(false);
  // Fields that are NULL now have to go, whatever was there.
  connection_.add({"DEL", key});
  if (change.operation == RowOperation::kDelete) return;
  std::vector<std::string_view> words = {"HSET", key};
  auto fields = change.new_row.begin();
  for (const Column& column : shape.relation.columns) {
    const Field field = fields.next();
    if (field.kind != FieldKind::kText) continue;
    words.push_back(column.name);
    words.push_back(field.bytes);
  }
  may_repeat_.push_back(false);
  connection_.add(words);
}

void RedisWriter::add_member(const Shape& shape, const std::string& key, const RowChange& change) {
  may_repeat_.push_back(false);
  std::string member;
  shape.member.append(change.row(), member);
  if (change.operation == RowOperation::kDelete) return connection_.add({"ZREM", key, member});
  const Field score = sinks::field_of(change.new_row, shape.score);
  // A row without score is in no order.
  if (score.kind != FieldKind::kText) return connection_.add({"ZREM", key, member});
  std::string_view number = score.bytes;
  if (number == "Infinity") number = "+inf";
  if (number == "-Infinity") number = "-inf";
  connection_.add({"ZADD", key, number, member});
}

void RedisWriter::add_event(const Shape& shape, const std::string& key, const RowChange& change) {
  std::string json;
  shape.events.append(change, {}, json);
  if (spec_.form == Form::kPublish) {
    may_repeat_.push_back(false);
    return connection_.add({"PUBLISH", key, json});
  }
  const bool copied = change.operation == RowOperation::kCopied;
  // An entry's id is its change's number: one that is there already is refused by the server.
  may_repeat_.push_back(!copied);
  const std::string id = copied ? "0-*" : fmt::format("{}-0", change.seq.value());
  if (!spec_.max_length)
    return connection_.add({"XADD", key, id, "op", sinks::letter_of(change.operation), "event", json});
  const std::string most = std::to_string(*spec_.max_length);
  connection_.add({"XADD", key, "MAXLEN", "~", most, id, "op", sinks::letter_of(change.operation), "event", json});
}

void RedisWriter::add_state(const sinks::StateChanges& state) {
  const std::string key = spec_.state_key();
  std::vector<std::string_view> put = {"HSET", key};
  std::vector<std::string_view> drop = {"HDEL", key};
  for (const auto& [name, value] : state) {
    if (value) {
      put.push_back(name);
      put.push_back(*value);
    } else {
      drop.push_back(name);
    }
  }
  for (const auto* words : {&put, &drop}) {
    if (words->size() == 2) continue;
    may_repeat_.push_back(false);
    connection_.add(*words);
  }
}

void RedisWriter::see_answers(const std::vector<Reply>& replies, std::span<const RowChange> changes) {
  // The first refusal between MULTI and EXEC says why nothing of it was done.
  const bool aborted = replies.back().is_error();
  for (const Reply& reply : replies)
    if (reply.is_error() && (!aborted || &reply != &replies.back())) throw_error(reply, display_);
  if (aborted) throw_error(replies.back(), display_);
  const std::vector<Reply>& done = replies.back().list;
  if (done.size() != may_repeat_.size())
    throw RetryError("TR810", fmt::format("{} answered {} of {} commands", display_, done.size(), may_repeat_.size()),
                     "none: it is tried again");
  for (std::size_t n = 0; n < done.size(); ++n) {
    if (!done[n].is_error() || (may_repeat_[n] && is_repeated_entry(done[n]))) continue;
    throw RefusedError(
        "TR816",
        fmt::format("{} did only a part of a transaction of {} changes, since somebody else changed keys of this sink",
                    display_, changes.size()),
        "remove the keys of this sink and its state, and let Tailrace copy the tables again");
  }
}

}  // namespace tailrace::redis
