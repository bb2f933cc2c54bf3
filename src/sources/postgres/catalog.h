#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "model/relation.h"
#include "sources/postgres/connection.h"

namespace tailrace::postgres {

/// A table of the source's publications, as the publication shows it.
struct PublishedTable {
  Oid oid;
  std::string schema;
  std::string name;
  /// pg_class.relkind: 'r', or 'p' where a partitioned table is published as one.
  char kind = 'r';
  /// Names of the published columns in attnum order.
  std::vector<std::string> columns;
  /// SQL of the row filter; empty when there is none.
  std::string row_filter;
  double estimated_rows = 0;
  std::uint64_t pages = 0;
};

/// What the source's catalog knows of tables and types. The stream's Relation messages hold names, type oids and
/// identity flags; attnums, domains, elements and keys come from here. The catalog answers about now (or about the
/// snapshot of the connection's transaction), the stream about then: a column that the catalog no longer knows by this
/// name and type has attnum 0, unless the order of the others leaves it only one. One thread; lives as long as its
/// connection.
class Catalog {
 public:
  /// `publications`: through which the tables come; none: Relation::membership is not asked for.
  explicit Catalog(Connection& connection, std::vector<std::string> publications = {})
      : connection_(connection), publications_(std::move(publications)) {}

  /// The Relation of an 'R' message without sub-xid. The catalog is read each time; as long as nothing differs the
  /// pointer stays the same.
  RelationPtr resolve(ByteView relation_message);
  /// The Relation of a published table, with the columns the stream would send.
  RelationPtr describe(const PublishedTable& table) { return describe(table, Lsn()); }
  /// The same under a snapshot that was taken at `as_of`.
  RelationPtr describe(const PublishedTable& table, Lsn as_of);
  /// All tables of these publications that the patterns want, in order of schema and name.
  std::vector<PublishedTable> published_tables(const std::vector<std::string>& publications,
                                               const std::vector<std::string>& patterns);

 private:
  struct TypeRow {
    std::string schema;
    std::string name;
    char kind = 'b';
    Oid base;
    std::int32_t base_typmod = -1;
    /// Both set for true arrays only.
    Oid element;
    char delimiter = ',';
  };
  struct TableRow {
    bool found = false;
    ReplicaIdentity identity = ReplicaIdentity::kDefault;
    bool primary_key_immediate = false;
    std::int16_t attributes = 0;
    std::uint64_t storage = 0;
    bool partitioned = false;
    std::vector<Partition> partitions;
    std::uint64_t membership = 0;
    Lsn as_of;
    std::vector<Column> columns;
  };

  TableRow read_table(Oid oid);
  /// What a table's row says of it besides its columns and its name.
  static std::shared_ptr<Relation> without_columns(Oid oid, const TableRow& table);
  /// The missing values of a partitioned table are those of its partitions.
  void read_partitions(Oid oid, TableRow& table);
  /// How the table comes through the publications (catalog_facts.cc); 0: not at all.
  std::uint64_t read_membership(Oid oid);
  /// Its leaves, in order of their oids.
  std::vector<Partition> read_leaves(Oid oid);
  /// ColumnType::forms of columns whose types are not the server's own.
  void read_forms(std::vector<Column>& columns);
  void complete_types(std::vector<Column>& columns);
  void load_types(std::vector<Oid> oids);
  void resolve_type(ColumnType& type) const;
  void name_types(std::vector<Column>& columns);

  Connection& connection_;
  const std::vector<std::string> publications_;
  std::unordered_map<Oid, RelationPtr> last_;
  std::unordered_map<Oid, TypeRow> types_;
};

}  // namespace tailrace::postgres
