#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "model/relation.h"

namespace tailrace {

/// What turns the rows of one version of a table into rows of the next. A value; indexes are places in the columns of
/// the two relations.
struct SchemaChange {
  struct Kept {
    std::size_t before;
    std::size_t after;
  };
  struct Added {
    std::size_t after;
    /// What rows that were written before show in it, as text; nothing: NULL.
    std::optional<std::string> missing;
  };

  bool table_renamed = false;
  /// The columns by which rows are told apart are others, or in another role.
  bool key_changed = false;
  /// All columns that both versions have.
  std::vector<Kept> kept;
  std::vector<std::size_t> dropped;
  std::vector<Added> added;

  /// Whether names, columns and types are the same; only what the target does not show may differ.
  bool nothing_visible = false;
};

/// The answer of explain(): the change, or why nobody can tell what it did to the rows that were there.
struct SchemaExplanation {
  std::optional<SchemaChange> change;
  /// The later version, with what only the earlier one knew of columns that stayed. Null without `change`.
  RelationPtr after;
  /// For people; set when `change` is not.
  std::string doubt;
};

/// What happened to a table between two versions of it, as far as it can be proved from them. The stream shows names
/// and types only; columns are told apart by their attnums, which come from a catalog that may be younger than the
/// stream. So whatever fits more than one story is left unexplained: docs/schema-changes.md.
/// `emptied`: the table has no rows where the later version is seen first (a truncate), so none were written anew.
SchemaExplanation explain(const Relation& before, const RelationPtr& after, bool emptied = false);

/// One line for people: "added "n" integer; dropped "v"".
std::string describe(const Relation& before, const SchemaExplanation& explanation);

}  // namespace tailrace
