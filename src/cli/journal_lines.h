#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "model/change_batch.h"

namespace tailrace::cli {

/// One line per change and one behind each transaction's last change, for people or as JSON. Values are hidden unless
/// asked for.
class JournalLines {
 public:
  JournalLines(bool json, bool values) : json_(json), values_(values) {}

  std::string change(const Transaction& transaction, const Change& change) const;
  std::string commit(const Transaction& transaction) const;

 private:
  nlohmann::ordered_json row(const Change& change, const TupleView& tuple, bool key_only) const;
  std::string row_text(const Change& change, const TupleView& tuple, bool key_only) const;
  std::string change_json(const Transaction& transaction, const Change& change) const;
  std::string change_text(const Transaction& transaction, const Change& change) const;

  const bool json_;
  const bool values_;
};

}  // namespace tailrace::cli
