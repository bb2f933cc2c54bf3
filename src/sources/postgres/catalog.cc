#include "sources/postgres/catalog.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/table_patterns.h"
#include "pgoutput/messages.h"
#include "sources/postgres/sql_array.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kReadingCatalog = "reading the catalog";
constexpr int kMoreLooks = 3;
constexpr std::chrono::milliseconds kBetweenLooks{3};

/// Elements of a text[] in the server's text form.
std::vector<std::string> parse_text_array(std::string_view text) {
  std::vector<std::string> out;
  std::string element;
  bool quoted = false;
  for (std::size_t i = 1; i + 1 <= text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\' && i + 1 < text.size()) {
      element += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || (c == '}' && i + 1 == text.size()))) {
      if (c == ',' || !element.empty() || !out.empty()) out.push_back(std::exchange(element, {}));
    } else {
      element += c;
    }
  }
  return out;
}

TypeKind kind_of(char typtype, bool array) {
  if (array) return TypeKind::kArray;
  switch (typtype) {
    case 'e': return TypeKind::kEnum;
    case 'c': return TypeKind::kComposite;
    case 'r': return TypeKind::kRange;
    case 'm': return TypeKind::kMultirange;
    case 'p': return TypeKind::kPseudo;
    default: return TypeKind::kBase;
  }
}

ReplicaIdentity identity_of(std::string_view text) {
  if (text == "n") return ReplicaIdentity::kNothing;
  if (text == "f") return ReplicaIdentity::kFull;
  if (text == "i") return ReplicaIdentity::kIndex;
  return ReplicaIdentity::kDefault;
}

/// A table's columns; where the server's WAL is comes last.
const char* kColumnsSql =
    "SELECT a.attname, a.attnum, a.atttypid, a.atttypmod, a.attnotnull, c.relreplident, "
    "       COALESCE(array_position(pk.indkey::int2[], a.attnum) + 1, 0), COALESCE(pk.indimmediate, false), "
    "       c.relreplident = 'f' OR (c.relreplident = 'd' AND pk.indimmediate AND a.attnum = ANY(pk.indkey)) OR "
    "       (c.relreplident = 'i' AND a.attnum = ANY(ri.indkey)), "
    "       c.relnatts, c.relfilenode, c.relkind = 'p', a.atthasmissing, (a.attmissingval::text::text[])[1], "
    "       a.xmin::text, COALESCE(d.oid, 0), ";
const char* kOfTableSql =
    " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
    "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
    "LEFT JOIN pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary AND pk.indisvalid "
    "LEFT JOIN pg_index ri ON ri.indrelid = c.oid AND ri.indisreplident "
    "WHERE c.oid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// What Relation::storage is of every partitioned table.
constexpr std::uint64_t kStorageOfLeaves = 1;

/// Per column how many leaves keep a missing value, and which.
const char* kPartitionsSql =
    "WITH leaf AS (SELECT c.oid FROM pg_partition_tree($1::oid) t JOIN pg_class c ON c.oid = t.relid "
    "              WHERE t.isleaf AND c.relkind = 'r') "
    "SELECT a.attname, count(*) FILTER (WHERE a.atthasmissing), count(*), "
    "       min((a.attmissingval::text::text[])[1]), max((a.attmissingval::text::text[])[1]) "
    "FROM leaf JOIN pg_attribute a ON a.attrelid = leaf.oid AND a.attnum > 0 AND NOT a.attisdropped GROUP BY a.attname";

/// A true array is what its element names as its array type; int2vector and the like are not.
const char* kTypesSql =
    "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod, "
    "       CASE WHEN e.typarray = t.oid THEN t.typelem ELSE 0 END, COALESCE(e.typdelim, ',') "
    "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type e ON e.oid = t.typelem "
    "WHERE t.oid = ANY($1::oid[])";

/// Server 15 and later: column lists and row filters belong to the publication. Up to 17 the view names generated
/// columns too, which are never sent; from 18 on it names those that are.
const char* kPublishedSql15 =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, "
    "       ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY(p.attnames) "
    "             AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000) "
    "             ORDER BY a.attnum)::text[], COALESCE(p.rowfilter, ''), "
    "       GREATEST(c.reltuples, 0)::float8, pg_relation_size(c.oid) / current_setting('block_size')::int "
    "FROM (SELECT schemaname, tablename, max(attnames::text)::name[] AS attnames, "
    "             CASE WHEN bool_or(rowfilter IS NULL) THEN NULL ELSE string_agg('(' || rowfilter || ')', ' OR ') END "
    "             AS rowfilter "
    "      FROM pg_publication_tables WHERE pubname = ANY($1::name[]) GROUP BY 1, 2) p "
    "JOIN pg_namespace n ON n.nspname = p.schemaname "
    "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename ORDER BY 2, 3";

const char* kPublishedSql13 =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, "
    "       ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 "
    "             AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum)::text[], '', "
    "       GREATEST(c.reltuples, 0)::float8, pg_relation_size(c.oid) / current_setting('block_size')::int "
    "FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname = ANY($1::name[])) p "
    "JOIN pg_namespace n ON n.nspname = p.schemaname "
    "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename ORDER BY 2, 3";

/// The stream sends columns in the order of their attnums. Where those that the catalog gave fall back, names have
/// changed hands since, and none is believed. Where just as many numbers are free between two of them as there are
/// columns that the catalog did not know, these are theirs.
void settle_attnums(std::vector<Column>& columns, std::int16_t attributes) {
  std::int16_t last = 0;
  std::size_t unknown = 0;
  const auto fill = [&](std::size_t end, std::int16_t next) {
    if (unknown != 0 && static_cast<std::size_t>(next - last - 1) == unknown)
      for (std::size_t n = end - unknown; n < end; ++n) columns[n].attnum = ++last;
    unknown = 0;
  };
  for (std::size_t n = 0; n < columns.size(); ++n) {
    const std::int16_t attnum = columns[n].attnum;
    if (attnum == 0) {
      ++unknown;
      continue;
    }
    if (attnum <= last) {
      for (Column& column : columns) column.attnum = 0;
      return;
    }
    fill(n, attnum);
    last = attnum;
  }
  fill(columns.size(), static_cast<std::int16_t>(attributes + 1));
}

}  // namespace

Catalog::TableRow Catalog::read_table(Oid oid) {
  TableRow table;
  const Rows rows = connection_.query(std::string(kColumnsSql) + kWalEnd + kOfTableSql, {std::to_string(oid.value())},
                                      kReadingCatalog);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Column column;
    column.name = rows.at(i, 0);
    column.attnum = static_cast<std::int16_t>(rows.number(i, 1));
    column.type.declared = rows.oid(i, 2);
    column.type.typmod = static_cast<std::int32_t>(rows.number(i, 3));
    column.not_null = rows.flag(i, 4);
    column.primary_key_place = static_cast<std::int16_t>(rows.number(i, 6));
    column.in_identity = rows.flag(i, 8);
    if (rows.flag(i, 12)) column.missing = rows.at(i, 13);
    column.written = static_cast<std::uint32_t>(rows.unsigned_number(i, 14));
    column.default_value = rows.oid(i, 15);
    table.columns.push_back(std::move(column));
    table.found = true;
    table.identity = identity_of(rows.at(i, 5));
    table.primary_key_immediate = rows.flag(i, 7);
    table.attributes = static_cast<std::int16_t>(rows.number(i, 9));
    table.storage = rows.unsigned_number(i, 10);
    table.partitioned = rows.flag(i, 11);
    table.as_of = rows.lsn(i, 16);
  }
  if (table.partitioned) read_partitions(oid, table);
  if (!publications_.empty()) table.membership = read_membership(oid);
  return table;
}

void Catalog::read_partitions(Oid oid, TableRow& table) {
  const Rows rows = connection_.query(kPartitionsSql, {std::to_string(oid.value())}, kReadingCatalog);
  table.partitions = read_leaves(oid);
  bool one_story = true;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.number(i, 1) == 0) continue;
    const auto column = std::ranges::find(table.columns, rows.at(i, 0), &Column::name);
    if (rows.number(i, 1) != rows.number(i, 2) || rows.at(i, 3) != rows.at(i, 4)) {
      one_story = false;
    } else if (column != table.columns.end()) {
      column->missing = rows.at(i, 3);
    }
  }
  table.storage = one_story ? kStorageOfLeaves : 0;
}

void Catalog::load_types(std::vector<Oid> oids) {
  while (true) {
    std::erase_if(oids, [&](Oid oid) { return !oid.valid() || types_.contains(oid); });
    if (oids.empty()) return;
    const Rows rows = connection_.query(kTypesSql, {oid_array(oids)}, kReadingCatalog);
    // A type that is gone keeps an empty row: only its oid is known.
    for (const Oid oid : oids) types_.try_emplace(oid);
    std::vector<Oid> next;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      TypeRow& type = types_[rows.oid(i, 0)];
      type.schema = rows.at(i, 1);
      type.name = rows.at(i, 2);
      type.kind = rows.at(i, 3).front();
      type.base = rows.oid(i, 4);
      type.base_typmod = static_cast<std::int32_t>(rows.number(i, 5));
      type.element = rows.oid(i, 6);
      type.delimiter = rows.at(i, 7).front();
      next.push_back(type.base);
      next.push_back(type.element);
    }
    oids = std::move(next);
  }
}

void Catalog::resolve_type(ColumnType& type) const {
  type.base = type.declared;
  type.base_typmod = type.typmod;
  const TypeRow* row = &types_.at(type.base);
  while (row->kind == 'd') {
    // The innermost modifier that is set holds: a domain's column carries none of its own.
    if (type.base_typmod < 0) type.base_typmod = row->base_typmod;
    type.base = row->base;
    row = &types_.at(type.base);
  }
  type.base_schema = row->schema;
  type.base_name = row->name;
  type.kind = kind_of(row->kind, row->element.valid());
  if (!row->element.valid()) return;
  type.element = row->element;
  type.delimiter = row->delimiter;
  const TypeRow* element = &types_.at(type.element);
  while (element->kind == 'd') {
    type.element = element->base;
    element = &types_.at(type.element);
  }
  type.element_kind = kind_of(element->kind, element->element.valid());
}

void Catalog::name_types(std::vector<Column>& columns) {
  std::string oids = "{";
  std::string typmods = "{";
  for (const Column& column : columns) {
    const char* comma = oids.size() > 1 ? "," : "";
    oids += comma + std::to_string(column.type.declared.value());
    typmods += comma + std::to_string(column.type.typmod);
  }
  const Rows rows = connection_.query(
      "SELECT format_type(t.o, t.m) FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS t(o, m, i) ORDER BY t.i",
      {oids + '}', typmods + '}'}, kReadingCatalog);
  for (std::size_t i = 0; i < rows.size() && i < columns.size(); ++i) columns[i].type.display = rows.at(i, 0);
}

void Catalog::complete_types(std::vector<Column>& columns) {
  std::vector<Oid> oids;
  for (const Column& column : columns) oids.push_back(column.type.declared);
  load_types(std::move(oids));
  for (Column& column : columns) resolve_type(column.type);
  read_forms(columns);
  if (!columns.empty()) name_types(columns);
}

std::shared_ptr<Relation> Catalog::without_columns(Oid oid, const TableRow& table) {
  auto relation = std::make_shared<Relation>();
  relation->oid = oid;
  relation->identity = table.identity;
  relation->primary_key_immediate = table.primary_key_immediate;
  relation->attributes = table.attributes;
  relation->storage = table.storage;
  relation->partitions = table.partitions;
  relation->membership = table.membership;
  relation->as_of = table.as_of;
  return relation;
}

RelationPtr Catalog::resolve(ByteView relation_message) {
  const pgoutput::RelationMessage message = pgoutput::parse_relation(relation_message);
  TableRow table = read_table(message.oid);
  const auto there = [&table](const pgoutput::RelationColumn& sent) {
    return std::ranges::find(table.columns, sent.name, &Column::name) != table.columns.end();
  };
  // A commit is in the WAL, and streamed, before it is visible.
  for (int looks = 0; looks < kMoreLooks && table.found && !std::ranges::all_of(message.columns, there); ++looks) {
    std::this_thread::sleep_for(kBetweenLooks);
    table = read_table(message.oid);
  }
  auto relation = without_columns(message.oid, table);
  relation->schema = message.schema;
  relation->name = message.name;
  relation->identity = static_cast<ReplicaIdentity>(message.replica_identity);
  for (const pgoutput::RelationColumn& sent : message.columns) {
    Column column;
    const auto known = std::ranges::find(table.columns, sent.name, &Column::name);
    if (known != table.columns.end()) column = *known;
    // Of another type it may be another column of that name.
    if (column.type.declared != sent.type || column.type.typmod != sent.typmod) {
      column.attnum = 0;
      column.missing.reset();
      column.written = 0;
      column.default_value = Oid();
    }
    column.name = sent.name;
    column.type = ColumnType{};
    column.type.declared = sent.type;
    column.type.typmod = sent.typmod;
    column.in_identity = sent.in_identity;
    relation->columns.push_back(std::move(column));
  }
  settle_attnums(relation->columns, table.attributes);
  complete_types(relation->columns);
  // The message comes again when something about the table changed, and need not show it: a column that was dropped
  // and added again under its name differs in its attnum alone.
  RelationPtr& last = last_[relation->oid];
  if (!last || *last != *relation) last = std::move(relation);
  return last;
}

RelationPtr Catalog::describe(const PublishedTable& table, Lsn as_of) {
  TableRow row = read_table(table.oid);
  auto relation = without_columns(table.oid, row);
  relation->schema = table.schema;
  relation->name = table.name;
  if (as_of.valid()) relation->as_of = as_of;
  std::erase_if(row.columns, [&](const Column& column) {
    return std::ranges::find(table.columns, column.name) == table.columns.end();
  });
  relation->columns = std::move(row.columns);
  complete_types(relation->columns);
  return relation;
}

std::vector<PublishedTable> Catalog::published_tables(const std::vector<std::string>& publications,
                                                      const std::vector<std::string>& patterns) {
  const char* sql = connection_.server_version() >= 150000 ? kPublishedSql15 : kPublishedSql13;
  const Rows rows = connection_.query(sql, {text_array(publications)}, kReadingCatalog);
  const TablePatterns wanted(patterns);
  std::vector<PublishedTable> tables;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!wanted.match(rows.at(i, 1), rows.at(i, 2))) continue;
    PublishedTable table;
    table.oid = rows.oid(i, 0);
    table.schema = rows.at(i, 1);
    table.name = rows.at(i, 2);
    table.kind = rows.at(i, 3).front();
    table.columns = parse_text_array(rows.at(i, 4));
    table.row_filter = rows.at(i, 5);
    table.estimated_rows = std::strtod(std::string(rows.at(i, 6)).c_str(), nullptr);
    table.pages = rows.unsigned_number(i, 7);
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace tailrace::postgres
