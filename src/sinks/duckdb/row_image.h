#pragma once

#include <algorithm>

#include "model/change_batch.h"
#include "model/tuple.h"

namespace tailrace::duckdb {

/// A row as it stands after a change: the tuple as it was sent, or, where values of it came from elsewhere, the fields
/// one by one. A view into the batch and the fold's arena. A field that still reads "unchanged" is known to the target
/// only.
struct RowImage {
  const Change* change = nullptr;
  TupleView tuple;
  const Field* fields = nullptr;

  explicit operator bool() const { return change != nullptr; }
};

/// Walks the fields of a RowImage or a tuple.
class FieldWalk {
 public:
  explicit FieldWalk(const RowImage& row) : fields_(row.fields), cursor_(nullptr) {
    if (fields_ == nullptr) cursor_ = row.tuple.begin();
  }
  explicit FieldWalk(TupleView tuple) : fields_(nullptr), cursor_(tuple.begin()) {}
  Field next() { return fields_ != nullptr ? *fields_++ : cursor_.next(); }

 private:
  const Field* fields_;
  TupleView::Cursor cursor_;
};

inline bool has_unchanged(TupleView tuple) {
  FieldWalk walk(tuple);
  for (std::size_t n = tuple.size(); n > 0; --n)
    if (walk.next().kind == FieldKind::kUnchanged) return true;
  return false;
}

}  // namespace tailrace::duckdb
