#include "sinks/webhook/delivery_order.h"

#include <cstdint>
#include <utility>

#include "sinks/row_table.h"

namespace tailrace::webhook {

DeliveryOrder::DeliveryOrder(std::span<const sinks::RowChange> changes) : nodes_(changes.size()) {
  std::map<std::uint32_t, Table> tables;
  std::unordered_map<const Relation*, std::vector<std::size_t>> key_columns;
  for (std::size_t at = 0; at < changes.size(); ++at) {
    Table& table = tables[changes[at].relation->oid.value()];
    const auto [columns, is_new] = key_columns.try_emplace(changes[at].relation);
    if (is_new) columns->second = changes[at].relation->match_key();
    const std::vector<std::string> keys = sinks::keys_of(changes[at], columns->second);
    if (keys.empty()) {
      place_floor(at, table);
    } else {
      place_row(at, table, keys);
    }
    if (nodes_[at].waits_for == 0) ready_.push(at);
  }
}

void DeliveryOrder::follow(std::size_t before, std::size_t after, bool same_row) {
  nodes_[before].followers.push_back({after, same_row});
  ++nodes_[after].waits_for;
}

void DeliveryOrder::place_row(std::size_t at, Table& table, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    const auto [last, is_first] = table.last_of_row.try_emplace(key, at);
    if (!is_first) follow(std::exchange(last->second, at), at, true);
  }
  if (nodes_[at].waits_for == 0 && table.floor) follow(*table.floor, at, false);
  table.since_floor.push_back(at);
}

void DeliveryOrder::place_floor(std::size_t at, Table& table) {
  if (table.floor) follow(*table.floor, at, false);
  for (const std::size_t before : table.since_floor) follow(before, at, false);
  table.since_floor.clear();
  table.last_of_row.clear();
  table.floor = at;
}

std::optional<std::size_t> DeliveryOrder::next() {
  if (ready_.empty()) return std::nullopt;
  const std::size_t at = ready_.top();
  ready_.pop();
  return at;
}

void DeliveryOrder::done(std::size_t at) { settle(at, false); }
void DeliveryOrder::refused(std::size_t at) { settle(at, true); }

void DeliveryOrder::settle(std::size_t at, bool refused) {
  std::vector<std::pair<std::size_t, bool>> settled = {{at, refused}};
  while (!settled.empty()) {
    const auto [before, without] = settled.back();
    settled.pop_back();
    for (const Follower& follower : nodes_[before].followers) {
      Node& node = nodes_[follower.at];
      if (without && follower.same_row) node.withheld = true;
      if (--node.waits_for > 0) continue;
      if (node.withheld) {
        settled.emplace_back(follower.at, true);
      } else {
        ready_.push(follower.at);
      }
    }
  }
}

}  // namespace tailrace::webhook
