#include "sinks/redis/redis_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/crash_point.h"
#include "sinks/redis/redis_writer.h"

namespace tailrace::redis {
namespace {

/// The server's bound for one string (proto-max-bulk-len).
constexpr std::size_t kLongest = 512U << 20;
constexpr const char* kLot = "1000";

/// A literal in a glob-style pattern.
std::string glob_literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\' || c == '^') out += '\\';
    out += c;
  }
  return out;
}

bool within(const std::vector<std::size_t>& columns, const std::vector<std::size_t>& key) {
  return std::ranges::all_of(columns,
                             [&key](std::size_t column) { return std::ranges::find(key, column) != key.end(); });
}

}  // namespace

RedisTarget::RedisTarget(RedisSpec spec) : spec_(std::move(spec)) {}
RedisTarget::~RedisTarget() = default;

sinks::RowTraits RedisTarget::traits() const {
  const bool events = spec_.form == Form::kStream || spec_.form == Form::kPublish;
  return {.style = events ? sinks::RowStyle::kEvents : sinks::RowStyle::kState,
          .takes_unchanged = events,
          .unit_changes = 10'000,
          .unit_bytes = 8U << 20};
}

sinks::StateMap RedisTarget::open() {
  connection_ = std::make_unique<Connection>(spec_.address);
  refuse_cluster();
  const Reply reply = connection_->ask({"HGETALL", spec_.state_key()});
  sinks::StateMap state;
  for (std::size_t n = 0; n + 1 < reply.list.size(); n += 2) state[reply.list[n].text] = reply.list[n + 1].text;
  return state;
}

void RedisTarget::refuse_cluster() {
  connection_->add({"INFO", "cluster"});
  const Reply info = connection_->run().back();
  // Who may not ask learns it from the first key that is on another node.
  if (info.is_error() || info.text.find("cluster_enabled:1") == std::string::npos) return;
  throw_error({.kind = Reply::Kind::kError, .text = "MOVED", .list = {}}, spec_.address.display());
}

std::unique_ptr<sinks::RowWriter> RedisTarget::writer() { return std::make_unique<RedisWriter>(spec_); }

std::string RedisTarget::obstacle(const Relation& relation) const {
  const bool events = spec_.form == Form::kStream || spec_.form == Form::kPublish;
  const std::vector<std::size_t> key = relation.match_key();
  if (key.empty() && !events) return "it has no key by which its rows could be told apart";
  try {
    const formats::BoundTemplate bound = spec_.key.bind(relation);
    if (!within(bound.columns(), key)) return "`key` names a column that is not part of the table's key";
    if (spec_.form != Form::kSortedSet) return {};
    const formats::BoundTemplate member = spec_.member.bind(relation);
    if (!within(member.columns(), key)) return "`member` names a column that is not part of the table's key";
  } catch (const RefusedError& error) {
    return error.what();
  }
  if (std::ranges::find(relation.columns, spec_.score, &Column::name) == relation.columns.end())
    return fmt::format("it has no column \"{}\", which `score` names", spec_.score);
  return {};
}

const char* RedisTarget::refusal_of(const sinks::RowChange& change) const {
  const TupleView row = change.new_row;
  if (change.old_row.bytes().size() + row.bytes().size() > kLongest)
    return "the row is too large for a string of Redis'";
  if (spec_.form != Form::kSortedSet || !row.present()) return nullptr;
  auto fields = row.begin();
  for (const Column& column : change.relation->columns) {
    const Field field = fields.next();
    if (column.name == spec_.score && field.kind == FieldKind::kText && !is_score(field.bytes))
      return "its score is no number";
  }
  return nullptr;
}

template <typename Take>
void RedisTarget::scan(const Relation& relation, Take take) {
  const std::string pattern = spec_.key.bind(relation).pattern("*", glob_literal);
  std::string cursor = "0";
  do {
    const Reply reply = connection_->ask({"SCAN", cursor, "MATCH", pattern, "COUNT", kLot});
    if (reply.list.size() != 2)
      throw RetryError("TR810", "an answer of the server has no meaning", "it is tried again");
    cursor = reply.list[0].text;
    std::vector<std::string_view> keys;
    for (const Reply& key : reply.list[1].list)
      if (key.text != spec_.state_key()) keys.push_back(key.text);
    if (!keys.empty() && !take(keys)) return;
  } while (cursor != "0");
}

void RedisTarget::remove_keys(const Relation& relation) {
  scan(relation, [this](std::vector<std::string_view>& keys) {
    keys.insert(keys.begin(), "UNLINK");
    connection_->add(keys);
    const Reply reply = connection_->run().back();
    if (reply.is_error()) throw_error(reply, spec_.address.display());
    return true;
  });
}

void RedisTarget::make_table(const Relation& relation, bool ours) {
  if (spec_.form == Form::kPublish) return;
  if (!ours && !spec_.overwrite) {
    scan(relation, [&](const std::vector<std::string_view>& keys) -> bool {
      static_cast<void>(keys);
      throw RefusedError("TR817",
                         fmt::format("{} has keys like `{}` already, which are not of this pipeline",
                                     spec_.address.display(), spec_.key.bind(relation).pattern("*", glob_literal)),
                         "choose another `key`, remove them, or say `overwrite: true`");
    });
    return;
  }
  remove_keys(relation);
  TAILRACE_CRASH_POINT("redis.keys_removed");
}

void RedisTarget::empty_table(const Relation& relation) { remove_keys(relation); }

std::string RedisTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& change) {
  if (spec_.form == Form::kStream || spec_.form == Form::kPublish) return {};
  if (change.table_renamed) return "it has another name, which its keys do not have";
  if (change.key_changed) return "its key is another";
  if (spec_.form == Form::kSortedSet) return {};
  if (!change.dropped.empty()) return "columns of it were dropped, and its rows here have them";
  for (const auto& [from, to] : change.kept) {
    const Column& was = before.columns[from];
    const Column& is = after.columns[to];
    if (was.name != is.name) return "a column of it has another name, which its rows here do not have";
    if (spec_.form == Form::kJson && was.type.base != is.type.base) return "a column of it has another type";
  }
  // What a row without the column shows is what a row with NULL in it shows: nothing; JSON has a member for it.
  for (const auto& added : change.added)
    if (added.missing || spec_.form == Form::kJson) return "a column was added, which its rows here do not have";
  return {};
}

void RedisTarget::release() { connection_.reset(); }

}  // namespace tailrace::redis
