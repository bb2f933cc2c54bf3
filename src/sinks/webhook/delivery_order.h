#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sinks/row_target.h"

namespace tailrace::webhook {

/// Which changes of a write may be under way at the same time: changes of one row never pass each other, changes of a
/// table without key and truncates pass nothing of their table. Lives for one write; one thread.
class DeliveryOrder {
 public:
  explicit DeliveryOrder(std::span<const sinks::RowChange> changes);

  /// The first change that may go now, once; nothing: all wait for others, or none is left.
  std::optional<std::size_t> next();
  void done(std::size_t at);
  /// It is refused: what follows it for the same row is never given.
  void refused(std::size_t at);

 private:
  struct Follower {
    std::size_t at;
    /// Of the same row, as opposed to the same table.
    bool same_row;
  };
  struct Node {
    std::size_t waits_for = 0;
    bool withheld = false;
    std::vector<Follower> followers;
  };
  /// What of a table the changes after it have to know.
  struct Table {
    std::unordered_map<std::string, std::size_t> last_of_row;
    std::optional<std::size_t> floor;
    std::vector<std::size_t> since_floor;
  };
  void follow(std::size_t before, std::size_t after, bool same_row);
  void place_row(std::size_t at, Table& table, const std::vector<std::string>& keys);
  void place_floor(std::size_t at, Table& table);
  void settle(std::size_t at, bool refused);

  std::vector<Node> nodes_;
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready_;
};

}  // namespace tailrace::webhook
