#include "sources/postgres/table_watch.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "sources/postgres/fence.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/sql_array.h"
#include "sources/postgres/standby.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kLookingForChanges = "looking for changed tables";

const char* kNumbersSql =
    "WITH ours AS (SELECT oid FROM pg_publication WHERE pubname = ANY($2::name[])), "
    "everywhere AS (SELECT concat((SELECT string_agg(concat_ws(':', oid, xmin), ',' ORDER BY oid) "
    "                              FROM pg_publication WHERE oid IN (TABLE ours))$schemas) AS said), "
    "altered AS (SELECT concat((SELECT string_agg(concat_ws(':', oid, enumlabel), ',' ORDER BY oid) FROM pg_enum), "
    "             (SELECT string_agg(concat_ws(':', a.attrelid, a.attnum, a.xmin), ',' ORDER BY a.attrelid, a.attnum) "
    "              FROM pg_class k JOIN pg_attribute a ON a.attrelid = k.oid WHERE k.relkind = 'c')) AS said) "
    "SELECT c.oid, n.nspname, c.relname, hashtextextended(concat_ws('/', n.nspname, c.relname, c.relfilenode, "
    "  c.relnatts, c.relreplident, c.relpersistence, (SELECT said FROM everywhere), "
    "  (SELECT string_agg(a.attnum || ':' || a.xmin, ',' ORDER BY a.attnum) FROM pg_attribute a "
    "   WHERE a.attrelid = c.oid AND a.attnum > 0), "
    "  (SELECT string_agg(concat_ws(':', i.indexrelid, i.indisreplident, i.indisprimary, i.indimmediate, "
    "                               i.indisvalid), ',' ORDER BY i.indexrelid) "
    "   FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident)), "
    "  (SELECT string_agg(r.oid::text, ',' ORDER BY r.oid) FROM pg_publication_rel r "
    "   WHERE r.prrelid = c.oid AND r.prpubid IN (TABLE ours)), "
    "  CASE WHEN c.relispartition THEN "
    "    (SELECT string_agg(concat_ws(':', i.inhparent, i.xmin, r.oid), ',' ORDER BY i.inhrelid, r.oid) "
    "     FROM pg_partition_ancestors(c.oid) t JOIN pg_inherits i ON i.inhrelid = t.relid "
    "     LEFT JOIN pg_publication_rel r ON r.prrelid = i.inhparent AND r.prpubid IN (TABLE ours)) END, "
    "  CASE WHEN c.relkind = 'p' THEN "
    "    (SELECT string_agg(concat_ws(':', i.inhrelid, i.xmin, k.relfilenode), ',' ORDER BY i.inhrelid) "
    "     FROM pg_partition_tree(c.oid) t JOIN pg_inherits i ON i.inhrelid = t.relid "
    "     JOIN pg_class k ON k.oid = t.relid) END, "
    "  CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid >= 16384) "
    "       THEN (SELECT said FROM altered) END), 0) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1::oid[])";

const char* kSchemasSql =
    ", (SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_publication_namespace WHERE pnpubid IN (TABLE ours))";

/// A description of what is there no more.
RelationPtr gone(Oid oid, const TableNumbers::Table& table, Standing standing) {
  auto relation = std::make_shared<Relation>();
  relation->oid = oid;
  relation->schema = table.schema;
  relation->name = table.name;
  relation->standing = standing;
  return relation;
}

bool differs(const TableNumbers& from, Oid oid, const TableNumbers::Table& table) {
  const auto found = from.tables.find(oid);
  return found == from.tables.end() || found->second != table;
}

std::string_view cut(std::string_view& text, char at) {
  const std::size_t end = std::min(text.find(at), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

template <typename Number>
Number number_of(std::string_view text) {
  Number out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

}  // namespace

std::string TableNumbers::str() const {
  std::string out;
  for (const auto& [oid, table] : tables)
    out += std::to_string(oid.value()) + '\t' + std::to_string(table.number) + '\t' + table.schema + '\t' + table.name +
           '\n';
  return out;
}

TableNumbers TableNumbers::parse(std::string_view text) {
  TableNumbers out;
  while (!text.empty()) {
    std::string_view line = cut(text, '\n');
    const Oid oid(number_of<std::uint32_t>(cut(line, '\t')));
    Table& table = out.tables[oid];
    table.number = number_of<std::uint64_t>(cut(line, '\t'));
    table.schema = cut(line, '\t');
    table.name = line;
  }
  return out;
}

TableNumbers read_table_numbers(Connection& sql, const std::vector<PublishedTable>& tables,
                                const std::vector<std::string>& publications) {
  std::vector<Oid> oids;
  for (const PublishedTable& table : tables) oids.push_back(table.oid);
  const Rows rows = sql.query(with_schemas(sql, kNumbersSql, kSchemasSql), {oid_array(oids), text_array(publications)},
                              kLookingForChanges);
  TableNumbers out;
  for (std::size_t i = 0; i < rows.size(); ++i)
    out.tables[rows.oid(i, 0)] = {static_cast<std::uint64_t>(rows.number(i, 3)), std::string(rows.at(i, 1)),
                                  std::string(rows.at(i, 2))};
  return out;
}

void TableWatch::begin(std::string_view remembered) {
  if (!confirmed_ && !remembered.empty()) confirmed_ = TableNumbers::parse(remembered);
  known_ = confirmed_;
  difference_.reset();
  told_until_.reset();
  next_ = {};
}

std::optional<std::string> TableWatch::tick(StreamSession& session, const TransactionLog& log, Connection& sql,
                                            Catalog& catalog, const std::vector<std::string>& publications) {
  StreamDecoder& decoder = session.decoder();
  if (decoder.take_ddl_notice()) next_ = {};
  if (!decoder.inside() && !told_until_) {
    const auto described = look(sql, catalog, publications, log.end().commit_end);
    if (!described.empty()) {
      decoder.describe(described);
      // On a quiet server nothing would make a place for them.
      nudge(sql);
      told_until_ = Lsn();
    }
  }
  if (difference_ || decoder.describing()) session.advance();
  if (!told_until_ || decoder.describing()) return std::nullopt;
  if (!told_until_->valid()) told_until_ = log.end().commit_end;
  if (log.durable_end() < *told_until_) return std::nullopt;
  told_until_.reset();
  confirmed_ = known_;
  return confirmed_->str();
}

std::vector<RelationPtr> TableWatch::look(Connection& sql, Catalog& catalog,
                                          const std::vector<std::string>& publications, Lsn log_end) {
  if (every_.count() == 0) return {};
  const auto began = SteadyClock::now();
  if (!difference_) {
    if (began < next_) return {};
    begin_look(sql, catalog, publications);
    const auto took = SteadyClock::now() - began;
    next_ = began + std::max<SteadyClock::duration>(every_, took * kLookShare);
  }
  if (!difference_ || log_end < difference_->seen) return {};
  return describe(sql, catalog, publications);
}

void TableWatch::begin_look(Connection& sql, Catalog& catalog, const std::vector<std::string>& publications) {
  TableNumbers now = read_table_numbers(sql, catalog.published_tables(publications, patterns_), publications);
  if (known_ && *known_ == now) return;
  if (!known_) {
    known_ = confirmed_ = std::move(now);
    return;
  }
  // Behind all commits that the numbers speak of.
  const Lsn seen = sql.query(std::string("SELECT ") + kWalEnd, kLookingForChanges).lsn(0, 0);
  difference_ = {seen, std::move(now)};
  nudge(sql);
}

std::vector<RelationPtr> TableWatch::describe(Connection& sql, Catalog& catalog,
                                              const std::vector<std::string>& publications) {
  const std::vector<PublishedTable> published = catalog.published_tables(publications, patterns_);
  std::vector<RelationPtr> there;
  for (const PublishedTable& table : published) {
    const auto found = difference_->numbers.tables.find(table.oid);
    if (found != difference_->numbers.tables.end() && differs(*known_, table.oid, found->second))
      there.push_back(catalog.describe(table));
  }
  const TableNumbers now = read_table_numbers(sql, catalog.published_tables(publications, patterns_), publications);
  std::vector<RelationPtr> out;
  for (auto at = known_->tables.begin(); at != known_->tables.end();) {
    if (difference_->numbers.tables.contains(at->first) || now.tables.contains(at->first)) {
      ++at;
      continue;
    }
    const bool exists =
        !sql.query("SELECT FROM pg_class WHERE oid = $1::oid", {std::to_string(at->first.value())}, kLookingForChanges)
             .empty();
    out.push_back(gone(at->first, at->second, exists ? Standing::kUnpublished : Standing::kDropped));
    at = known_->tables.erase(at);
  }
  for (const RelationPtr& relation : there) {
    const TableNumbers::Table& before = difference_->numbers.tables.at(relation->oid);
    // What changed once more meanwhile is left to the next look.
    if (differs(now, relation->oid, before)) {
      next_ = {};
      continue;
    }
    known_->tables[relation->oid] = before;
    out.push_back(relation);
  }
  difference_.reset();
  if (!out.empty()) log::debug("source.look", "{} tables changed without a change of their rows", out.size());
  return out;
}

}  // namespace tailrace::postgres
