#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/lsn.h"

namespace tailrace {

/// How PostgreSQL identifies the old row of an update or delete (pg_class.relreplident).
enum class ReplicaIdentity : char { kDefault = 'd', kNothing = 'n', kFull = 'f', kIndex = 'i' };

/// What sort of type a column has once domains are seen through (pg_type.typtype and typelem).
enum class TypeKind : std::uint8_t { kBase, kArray, kEnum, kComposite, kRange, kMultirange, kPseudo };

/// A column's type, with all that a sink needs to choose its own. Domains are resolved: `base` is what lies below.
struct ColumnType {
  /// The declared type (a domain's own oid, as the stream shows it) and modifier (-1 = none).
  Oid declared;
  std::int32_t typmod = -1;
  /// After domains are seen through: type and the modifier that holds there.
  Oid base;
  std::int32_t base_typmod = -1;
  TypeKind kind = TypeKind::kBase;
  /// For arrays: the element, domains seen through, and its kind. Invalid oid otherwise.
  Oid element;
  TypeKind element_kind = TypeKind::kBase;
  /// For arrays: what stands between the elements in the text (pg_type.typdelim): ';' for box, ',' for most.
  char delimiter = ',';
  /// Schema and name of `base` ("pg_catalog", "numeric"): how extension types, whose oids vary, are recognised.
  std::string base_schema;
  std::string base_name;
  /// As format_type(declared, typmod) prints it: for people.
  std::string display;
  /// Sorted numbers of what decides how stored values print: of an enum each value with its name, of a composite type
  /// its attributes; those of the types below belong to it. One that is gone: older values print otherwise now.
  std::vector<std::uint64_t> forms;

  bool operator==(const ColumnType&) const = default;
};

/// One column of a Relation. A value.
struct Column {
  std::string name;
  /// pg_attribute.attnum: a column's identity through renames. 0 where the catalog no longer knew the column.
  std::int16_t attnum = 0;
  ColumnType type;
  /// Set when the stream sends this column in old keys (the identity flag of the Relation message). Under FULL all are.
  bool in_identity = false;
  /// Place in the primary key, from 1; 0 = not part of it.
  std::int16_t primary_key_place = 0;
  bool not_null = false;
  /// What rows that are older than the column show in it, as text (pg_attribute.attmissingval); nothing: NULL, or the
  /// table was rewritten since.
  std::optional<std::string> missing;
  /// The transaction that last wrote the column's row of the catalog (pg_attribute.xmin). 0: not known.
  std::uint32_t written = 0;
  /// Its default's row of the catalog (pg_attrdef.oid). Invalid: none.
  Oid default_value;

  bool operator==(const Column&) const = default;
};

/// A leaf of a partitioned table: a table whose rows are the root's.
struct Partition {
  Oid oid;
  /// Another number whenever it, or a table between it and the root, is attached anew.
  std::uint64_t attached = 0;
  /// As Relation::storage.
  std::uint64_t storage = 0;
  /// It was made under its root, and so was all between: it had no rows when it came.
  bool born_empty = false;

  bool operator==(const Partition&) const = default;
};

/// Whether a table's changes are still in the stream.
enum class Standing : std::uint8_t { kFollowed, kUnpublished, kDropped };

/// One immutable schema version of a table. Built by the source (or read back from the log), shared by pointer,
/// never changed; any thread may read it. Columns are in the order in which tuples carry them.
struct Relation {
  Oid oid;
  std::string schema;
  std::string name;
  ReplicaIdentity identity = ReplicaIdentity::kDefault;
  /// Whether the primary key exists and is checked at once (a deferrable one identifies nothing).
  bool primary_key_immediate = false;
  /// pg_class.relnatts: how many columns the table ever had. 0 where the catalog did not know the table any more. What
  /// a target stores is what its version is known to have had, not what a younger catalog says.
  std::int16_t attributes = 0;
  /// Another number whenever the rows were written anew (pg_class.relfilenode); 0: not known. A partitioned table has
  /// always the same, and its partitions have theirs.
  std::uint64_t storage = 0;
  std::vector<Partition> partitions;
  /// Another number whenever it is published otherwise: its place in the publications, their operations and filters.
  /// 0: not known.
  std::uint64_t membership = 0;
  Standing standing = Standing::kFollowed;
  /// Where the server's WAL was when the catalog said all this. What differs in the catalog's part only, and is older,
  /// says nothing. 0: not known.
  Lsn as_of;
  std::vector<Column> columns;

  /// The same version, whenever it was read.
  bool operator==(const Relation& other) const;

  /// "schema.table", unquoted: for people.
  std::string display_name() const { return schema + "." + name; }

  /// Columns that tell rows of this table apart at a target, in key order: under DEFAULT and INDEX the identity's
  /// columns (primary key order for a primary key), under FULL an immediate primary key. Empty: the table has no key;
  /// under FULL it is then a multiset of whole rows, else append-only.
  /// The identity's columns are those at the change's own place in the log. A primary key under FULL is what the
  /// catalog said when the change was read: a key that may not have been there yet, or was another. It is a short cut,
  /// and whoever takes it has to see whether it holds.
  std::vector<std::size_t> match_key() const;
};

using RelationPtr = std::shared_ptr<const Relation>;

/// The durable form of a Relation (log, catalog): self-contained bytes with a leading format version.
std::string encode_relation(const Relation& relation);
/// Throws BadDataError when the bytes are not what encode_relation wrote.
RelationPtr decode_relation(std::string_view bytes);

}  // namespace tailrace
