// What the catalog says of a table besides its columns: docs/schema-changes.md, "What a version knows".

#include <algorithm>

#include "sources/postgres/catalog.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/sql_array.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kReadingFacts = "reading the catalog";
/// Types below are the server's own and never altered (FirstNormalObjectId).
constexpr std::uint32_t kFirstOid = 16384;

/// A partition comes through what its ancestors are in, as long as it is theirs. An entry of a publication has a new
/// oid whenever its filter or columns are set anew, and the publication's own row is written when its operations are,
/// also when they become again what they were.
const char* kMembershipSql =
    "WITH RECURSIVE above(oid, link) AS (SELECT $1::oid, '' UNION ALL "
    "  SELECT i.inhparent, above.link || '/' || i.xmin FROM above JOIN pg_class c ON c.oid = above.oid "
    "  JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relispartition), "
    "entry AS (SELECT p.oid, concat_ws('/', p.oid, p.xmin, m.how) AS said "
    "          FROM pg_publication p CROSS JOIN LATERAL ("
    "            SELECT 'all' WHERE p.puballtables UNION ALL "
    "            SELECT 'table' || r.oid || above.link FROM pg_publication_rel r JOIN above ON above.oid = r.prrelid "
    "            WHERE r.prpubid = p.oid$schemas) m(how) WHERE p.pubname = ANY($2::name[])) "
    "SELECT hashtextextended(string_agg(said, ',' ORDER BY said), 0) FROM entry "
    "WHERE EXISTS (SELECT FROM pg_class WHERE oid = $1::oid AND relpersistence = 'p')";

const char* kSchemasSql =
    " UNION ALL SELECT 'schema' || n.oid || above.link FROM pg_publication_namespace n "
    "JOIN pg_class c ON c.relnamespace = n.pnnspid JOIN above ON above.oid = c.oid WHERE n.pnpubid = p.oid";

/// A table that is made as a partition is attached by the second command behind that which wrote its attributes; rows
/// that its transaction wrote before it was attached take at least one command more.
const char* kLeavesSql =
    "WITH RECURSIVE tree(oid, link, born) AS ("
    "  SELECT i.inhrelid, i.xmin::text, i.xmin = a.xmin AND i.cmin::text::int8 - a.cmin::text::int8 <= 2 "
    "  FROM pg_inherits i JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attnum = -1 WHERE i.inhparent = $1::oid "
    "  UNION ALL "
    "  SELECT i.inhrelid, t.link || '/' || i.xmin::text, "
    "         t.born AND i.xmin = a.xmin AND i.cmin::text::int8 - a.cmin::text::int8 <= 2 "
    "  FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid "
    "  JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attnum = -1) "
    "SELECT t.oid, hashtextextended(t.link, 0), c.relfilenode, t.born FROM tree t JOIN pg_class c ON c.oid = t.oid "
    "WHERE c.relkind = 'r' ORDER BY t.oid";

const char* kFormsSql =
    "WITH RECURSIVE reach(root, oid) AS ("
    "  SELECT o, o FROM unnest($1::oid[]) o UNION "
    "  SELECT r.root, x.oid FROM reach r JOIN pg_type t ON t.oid = r.oid CROSS JOIN LATERAL ("
    "    SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL "
    "    SELECT a.atttypid FROM pg_attribute a "
    "    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped UNION ALL "
    "    SELECT g.rngsubtype FROM pg_range g WHERE g.rngtypid = t.oid) x(oid) WHERE x.oid >= 16384), "
    "form(root, said) AS ("
    "  SELECT r.root, e.oid || ' ' || e.enumlabel FROM reach r JOIN pg_enum e ON e.enumtypid = r.oid UNION ALL "
    "  SELECT r.root, t.oid || ' ' || string_agg(concat_ws('/', a.attnum, a.atttypid, a.atttypmod), ',' ORDER BY "
    "a.attnum) "
    "  FROM reach r JOIN pg_type t ON t.oid = r.oid AND t.typtype = 'c' "
    "  JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped GROUP BY r.root, t.oid) "
    "SELECT root, hashtextextended(said, 0) FROM form";

/// Any number, as the server's signed one.
std::uint64_t number(const Rows& rows, std::size_t row, std::size_t column) {
  return static_cast<std::uint64_t>(rows.number(row, column));
}

}  // namespace

std::uint64_t Catalog::read_membership(Oid oid) {
  const Rows rows = connection_.query(with_schemas(connection_, kMembershipSql, kSchemasSql),
                                      {std::to_string(oid.value()), text_array(publications_)}, kReadingFacts);
  return rows.empty() || rows.is_null(0, 0) ? 0 : number(rows, 0, 0);
}

std::vector<Partition> Catalog::read_leaves(Oid oid) {
  const Rows rows = connection_.query(kLeavesSql, {std::to_string(oid.value())}, kReadingFacts);
  std::vector<Partition> leaves;
  for (std::size_t i = 0; i < rows.size(); ++i)
    leaves.push_back({rows.oid(i, 0), number(rows, i, 1), rows.unsigned_number(i, 2), rows.flag(i, 3)});
  return leaves;
}

void Catalog::read_forms(std::vector<Column>& columns) {
  std::vector<Oid> oids;
  for (const Column& column : columns)
    if (column.type.declared.value() >= kFirstOid) oids.push_back(column.type.declared);
  if (oids.empty()) return;
  const Rows rows = connection_.query(kFormsSql, {oid_array(oids)}, kReadingFacts);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (Column& column : columns)
      if (column.type.declared == rows.oid(i, 0)) column.type.forms.push_back(number(rows, i, 1));
  for (Column& column : columns) std::ranges::sort(column.type.forms);
}

}  // namespace tailrace::postgres
