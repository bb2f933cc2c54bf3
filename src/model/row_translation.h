#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "model/change_batch.h"
#include "model/schema_change.h"
#include "model/tuple.h"

namespace tailrace {

/// Makes rows of an earlier version of a table rows of a later one, as the source would show them there. Made per
/// batch; one thread.
class RowTranslation {
 public:
  /// Of a version to itself.
  explicit RowTranslation(std::size_t columns);

  /// The table changed once more behind what was said so far.
  void then(const SchemaChange& change, std::size_t columns);
  bool nothing_to_do() const { return identity_; }
  /// The place of an earlier version's column in the later one; nothing: it was dropped.
  std::optional<std::size_t> place_of(std::size_t column) const;

  /// The change with its rows translated. Lives as long as this object; `relation` is the later version.
  const Change& translate(const Change& change, const Relation& relation);

 private:
  struct Origin {
    std::optional<std::size_t> column;
    std::optional<std::string> missing;
  };
  TupleView translate(TupleView row, bool key_only);

  std::vector<Origin> origins_;
  bool identity_ = true;
  std::vector<Field> fields_;
  std::deque<std::string> bytes_;
  std::deque<Change> changes_;
};

}  // namespace tailrace
