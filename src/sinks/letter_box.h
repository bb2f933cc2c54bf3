#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sinks/sink.h"

namespace tailrace::sinks {

/// Dead letters of the stream and of the copy's readers, until the runner takes them. Owned by the sink; any thread;
/// locks itself.
class LetterBox {
 public:
  void add(DeadLetter letter) {
    std::lock_guard lock(mutex_);
    letters_.push_back(std::move(letter));
  }
  std::vector<DeadLetter> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(letters_, {});
  }
  bool empty() {
    std::lock_guard lock(mutex_);
    return letters_.empty();
  }
  /// A copied row that the target cannot hold. Copied rows have no Position; they are numbered below all of them.
  void add_copied(DeadLetter letter, std::string key) {
    std::lock_guard lock(mutex_);
    letter.position.ordinal = copied_++;
    copied_keys_[{letter.relation->schema, letter.relation->name}].push_back(std::move(key));
    letters_.push_back(std::move(letter));
  }
  /// Keys of a table's refused copied rows, each once.
  std::vector<std::string> take_copied_keys(const std::string& schema, const std::string& table) {
    std::lock_guard lock(mutex_);
    return std::exchange(copied_keys_[{schema, table}], {});
  }
  void clear() {
    std::lock_guard lock(mutex_);
    letters_.clear();
    copied_keys_.clear();
    copied_ = 0;
  }

 private:
  std::mutex mutex_;
  std::uint64_t copied_ = 0;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> copied_keys_;
  std::vector<DeadLetter> letters_;
};

}  // namespace tailrace::sinks
