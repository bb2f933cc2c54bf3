#include "model/schema_change.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace tailrace {
namespace {

constexpr std::uint32_t kText = 25;
constexpr std::uint32_t kVarchar = 1043;

bool is_text(const ColumnType& type) { return type.base == Oid(kText) || type.base == Oid(kVarchar); }

/// Whether values that stay as they are on disk also print the same under the other type.
bool prints_alike(const ColumnType& before, const ColumnType& after) {
  if (is_text(before) && is_text(after)) return true;
  return before.base == after.base && before.kind == after.kind && before.element == after.element;
}

bool same_type(const Column& a, const Column& b) {
  return a.type.declared == b.type.declared && a.type.typmod == b.type.typmod;
}

bool same_names_and_types(const Relation& before, const Relation& after) {
  const auto same = [](const Column& x, const Column& y) { return x.name == y.name && same_type(x, y); };
  return std::ranges::equal(before.columns, after.columns, same);
}

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

/// The names of a relation's columns by which rows are told apart, and how.
std::vector<std::int16_t> key_of(const Relation& relation) {
  std::vector<std::int16_t> key;
  for (const std::size_t column : relation.match_key()) key.push_back(relation.columns[column].attnum);
  std::ranges::sort(key);
  if (key.empty()) key.push_back(relation.identity == ReplicaIdentity::kFull ? -1 : -2);
  return key;
}

std::optional<std::string> doubtful_attnums(const Relation& before, const Relation& after) {
  std::int16_t last = 0;
  for (const Column& column : after.columns) {
    if (column.attnum <= last) return "column " + quoted(column.name) + " is not what it was when it changed";
    last = column.attnum;
  }
  for (const Column& column : before.columns)
    if (column.attnum == 0) return "column " + quoted(column.name) + " cannot be followed";
  return std::nullopt;
}

std::string retyped(const Column& was, const Column& is) {
  return "the type of column " + quoted(is.name) + " changed from " + was.type.display + " to " + is.type.display;
}

/// Why the rows may be others than they were, where the storage is another.
std::string rewritten(const Relation& before, const Relation& after, const SchemaChange& change) {
  for (const auto& [from, to] : change.kept)
    if (!same_type(before.columns[from], after.columns[to])) return retyped(before.columns[from], after.columns[to]);
  return "the table was rewritten when its columns changed";
}

/// The catalog was asked when the column had another name or type already, or was gone: it did not say of this column
/// what older rows show in it.
std::optional<std::string> doubtful_defaults(const Relation& after, const SchemaChange& change) {
  if (!after.as_of.valid()) return std::nullopt;
  for (const auto& added : change.added) {
    const Column& column = after.columns[added.after];
    if (column.written == 0)
      return "column " + quoted(column.name) + " was altered again before it was known what older rows show in it";
  }
  return std::nullopt;
}

std::optional<std::string> doubtful_columns(const Relation& before, const Relation& after, const SchemaChange& change) {
  for (const auto& [from, to] : change.kept) {
    const Column& was = before.columns[from];
    const Column& is = after.columns[to];
    if (!same_type(was, is) && !prints_alike(was.type, is.type)) return retyped(was, is);
  }
  for (const auto& added : change.added) {
    const Column& column = after.columns[added.after];
    const auto same = [&](std::size_t dropped) { return before.columns[dropped].name == column.name; };
    if (std::ranges::any_of(change.dropped, same))
      return "column " + quoted(column.name) + " was dropped and added again under its name";
  }
  return std::nullopt;
}

/// Columns that were added and dropped again between the two versions may have left their names to others.
bool leaves_out_attnums(const Relation& before, const Relation& after, const SchemaChange& change) {
  std::int16_t expected = static_cast<std::int16_t>(before.attributes + 1);
  for (const auto& added : change.added)
    if (after.columns[added.after].attnum != expected++) return true;
  return false;
}

/// Whether the catalog said it before it said what the other version has from it.
bool older(const Relation& before, const Relation& after) {
  return before.as_of.valid() && after.as_of.valid() && after.as_of < before.as_of;
}

/// The catalog knew more columns than the version has ever had, so it was younger than the stream: what it said of the
/// storage may be true of later rows only.
bool younger_than_stream(const Relation& relation, std::size_t attributes) {
  return static_cast<std::size_t>(relation.attributes) != attributes;
}

bool same_partitions_storage(const Relation& before, const Relation& after) {
  return std::ranges::all_of(before.partitions, [&](const Partition& was) {
    const auto is = std::ranges::find(after.partitions, was.oid, &Partition::oid);
    return is == after.partitions.end() || is->storage == was.storage;
  });
}

bool same_storage(const Relation& before, const Relation& after) {
  return before.storage != 0 && before.storage == after.storage && same_partitions_storage(before, after);
}

/// Partitions bring and take rows that the stream does not show.
std::string doubtful_partitions(const Relation& before, const Relation& after) {
  const auto attachment = [](const Partition& partition) { return std::pair(partition.oid, partition.attached); };
  const auto in = [&](const Relation& relation, const Partition& wanted) {
    return std::ranges::find(relation.partitions, attachment(wanted), attachment) != relation.partitions.end();
  };
  if (!std::ranges::all_of(before.partitions, [&](const Partition& was) { return in(after, was); }))
    return "a partition was detached or dropped";
  const auto known = [&](const Partition& is) { return is.born_empty || in(before, is); };
  if (!std::ranges::all_of(after.partitions, known)) return "a partition was attached, perhaps with rows";
  return {};
}

std::string doubtful_forms(const Relation& before, const Relation& after) {
  for (const Column& is : after.columns) {
    const auto was = std::ranges::find(before.columns, is.attnum, &Column::attnum);
    // Of a type that is gone the catalog knows nothing.
    if (was == before.columns.end() || is.attnum == 0 || was->type.declared != is.type.declared ||
        is.type.base_name.empty())
      continue;
    if (!std::ranges::includes(is.type.forms, was->type.forms))
      return "type " + is.type.display + " of column " + quoted(is.name) + " was altered: older values show otherwise";
  }
  return {};
}

/// What the catalog says of the rows that are there, whatever the columns are; empty: nothing to doubt.
std::string doubtful_rows(const Relation& before, const Relation& after) {
  if (after.standing == Standing::kDropped) return "the table was dropped at the source";
  if (after.standing == Standing::kUnpublished) return "the table is not in the publication any more";
  if (older(before, after) || !before.as_of.valid()) return {};
  if (before.membership != 0 && after.membership != 0 && before.membership != after.membership)
    return "it is published otherwise than before: changes may be missing";
  if (std::string doubt = doubtful_partitions(before, after); !doubt.empty()) return doubt;
  return doubtful_forms(before, after);
}

/// A rewrite that alters a column writes the column's row of the catalog anew; TRUNCATE, VACUUM FULL and CLUSTER do
/// not, but where they leave no missing value behind.
bool rewritten_alike(const Column& was, const Column& is) {
  if (was.written == 0 || is.written == 0 || was.written == is.written) return false;
  const bool only_filled_in =
      was.missing && !is.missing && was.default_value.valid() && was.default_value == is.default_value;
  return !only_filled_in;
}

/// What only the catalog knows of a version, as far as the earlier one knows it better.
void settle_facts(const Relation& before, Relation& settled, bool older) {
  if (settled.membership == 0 || older) settled.membership = before.membership;
  if (!older) return;
  settled.partitions = before.partitions;
  settled.storage = before.storage;
  settled.as_of = before.as_of;
}

/// A type's nature never changes; a catalog that is younger than the stream may not know it any more.
void settle_column(const Column& was, Column& is, bool older) {
  if (!same_type(was, is)) return;
  const bool unknown = is.type.base_name.empty();
  if (unknown) is.type = was.type;
  if (!older && !unknown) return;
  is.type.forms = was.type.forms;
  is.written = was.written;
  is.default_value = was.default_value;
  is.missing = was.missing;
}

/// Names and types are the same: a version sent again, or one that differs in what the target does not show.
SchemaExplanation explain_same_columns(const Relation& before, const RelationPtr& after, SchemaChange change,
                                       bool emptied) {
  const auto unknown = [](const Column& column) { return column.attnum == 0; };
  const bool older = tailrace::older(before, *after);
  auto settled = std::make_shared<Relation>(*after);
  settled->attributes = before.attributes;
  settle_facts(before, *settled, older);
  const bool known = std::ranges::none_of(after->columns, unknown);
  const bool moved = !older && !emptied && !same_storage(before, *after);
  // A TRUNCATE of a partition is not published through its root, and looks like VACUUM FULL.
  if (moved && !same_partitions_storage(before, *after))
    return {std::nullopt, nullptr, "a partition was emptied or rewritten, which the stream does not show"};
  for (std::size_t n = 0; n < after->columns.size(); ++n) {
    Column& column = settled->columns[n];
    const Column& was = before.columns[n];
    if (known && was.attnum != 0 && was.attnum != column.attnum)
      return {std::nullopt, nullptr, "column " + quoted(column.name) + " was dropped and added again under its name"};
    if (known && moved && rewritten_alike(was, column)) return {std::nullopt, nullptr, "the table was rewritten"};
    // A catalog that is younger than the stream may not know a column any more.
    if (!known) column.attnum = was.attnum;
    settle_column(was, column, older);
    change.kept.push_back({n, n});
  }
  if (!older && (!known || younger_than_stream(*after, static_cast<std::size_t>(before.attributes))))
    settled->storage = emptied ? 0 : before.storage;
  change.key_changed = key_of(before) != key_of(*settled);
  change.nothing_visible = !change.table_renamed;
  return {std::move(change), std::move(settled), {}};
}

void match_columns(const Relation& before, const Relation& after, SchemaChange& change) {
  std::vector<bool> kept(before.columns.size(), false);
  for (std::size_t to = 0; to < after.columns.size(); ++to) {
    const auto same = [&](const Column& column) { return column.attnum == after.columns[to].attnum; };
    const auto found = std::ranges::find_if(before.columns, same);
    if (found == before.columns.end()) {
      change.added.push_back({to, after.columns[to].missing});
      continue;
    }
    const auto from = static_cast<std::size_t>(found - before.columns.begin());
    kept[from] = true;
    change.kept.push_back({from, to});
  }
  for (std::size_t from = 0; from < kept.size(); ++from)
    if (!kept[from]) change.dropped.push_back(from);
}

}  // namespace

SchemaExplanation explain(const Relation& before, const RelationPtr& after, bool emptied) {
  if (before.oid != after->oid) return {std::nullopt, nullptr, "the table was made anew"};
  if (std::string doubt = doubtful_rows(before, *after); !doubt.empty())
    return {std::nullopt, nullptr, std::move(doubt)};
  SchemaChange change;
  change.table_renamed = before.schema != after->schema || before.name != after->name;
  if (same_names_and_types(before, *after)) return explain_same_columns(before, after, std::move(change), emptied);
  if (auto doubt = doubtful_attnums(before, *after)) return {std::nullopt, nullptr, *doubt};
  match_columns(before, *after, change);
  if (auto doubt = doubtful_columns(before, *after, change)) return {std::nullopt, nullptr, *doubt};
  if (auto doubt = emptied ? std::nullopt : doubtful_defaults(*after, change)) return {std::nullopt, nullptr, *doubt};
  if (leaves_out_attnums(before, *after, change))
    return {std::nullopt, nullptr, "columns were added and dropped between two changes, or are published anew"};
  if (!emptied && !same_storage(before, *after)) return {std::nullopt, nullptr, rewritten(before, *after, change)};
  change.key_changed = key_of(before) != key_of(*after);
  const bool older = tailrace::older(before, *after);
  auto settled = std::make_shared<Relation>(*after);
  settle_facts(before, *settled, older);
  for (const auto& [from, to] : change.kept) settle_column(before.columns[from], settled->columns[to], older);
  settled->attributes = static_cast<std::int16_t>(before.attributes + change.added.size());
  if (emptied && younger_than_stream(*after, before.attributes + change.added.size())) settled->storage = 0;
  return {std::move(change), std::move(settled), {}};
}

std::string describe(const Relation& before, const SchemaExplanation& explanation) {
  if (!explanation.change) return "not explained: " + explanation.doubt;
  const SchemaChange& change = *explanation.change;
  const Relation& after = *explanation.after;
  std::string out;
  const auto say = [&out](const std::string& what) { out += (out.empty() ? "" : "; ") + what; };
  if (change.table_renamed) say("renamed from " + before.display_name());
  for (const std::size_t column : change.dropped) say("dropped " + quoted(before.columns[column].name));
  for (const auto& [from, to] : change.kept) {
    const Column& was = before.columns[from];
    const Column& is = after.columns[to];
    if (was.name != is.name) say("renamed " + quoted(was.name) + " to " + quoted(is.name));
    if (!same_type(was, is)) say(quoted(is.name) + " became " + is.type.display);
  }
  for (const auto& added : change.added)
    say("added " + quoted(after.columns[added.after].name) + " " + after.columns[added.after].type.display);
  if (change.key_changed) say("other columns identify a row");
  return out;
}

}  // namespace tailrace
