#include "sources/postgres/postgres_comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#include "base/error.h"
#include "model/tuple.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/fence.h"
#include "sources/postgres/publication.h"

namespace tailrace::postgres {
namespace {

constexpr const char* kComparing = "comparing a table";
/// concat() takes at most 100 arguments.
constexpr std::size_t kMostArguments = 90;

/// The arguments of concat() that make one column's part of the row's text (docs/parity.md).
void add_column(const Connection& sql, const Column& column, std::vector<std::string>& arguments) {
  const std::string name = sql.quoted_name(column.name);
  if (!arguments.empty()) arguments.emplace_back("','");
  if (is_counted(column.type)) {
    const std::uint32_t oid = column.type.base.value();
    const bool has_length = column.type.kind == TypeKind::kBase && (oid == 25 || oid == 1043 || oid == 1042);
    arguments.push_back(fmt::format("octet_length({}{})", name, has_length ? "" : "::text"));
    arguments.emplace_back("':'");
    arguments.push_back(name);
  } else if (is_floating(column.type)) {
    arguments.push_back(fmt::format("({} + 0::{})", name, column.type.base.value() == 700 ? "float4" : "float8"));
  } else {
    arguments.push_back(name);
  }
}

std::string text_of(const Connection& sql, const Relation& relation, const std::vector<std::size_t>& columns) {
  std::vector<std::string> arguments;
  for (const std::size_t column : columns) add_column(sql, relation.columns[column], arguments);
  std::vector<std::string> parts;
  for (std::size_t from = 0; from < arguments.size(); from += kMostArguments) {
    const auto begin = arguments.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = arguments.begin() + static_cast<std::ptrdiff_t>(std::min(from + kMostArguments, arguments.size()));
    parts.push_back(fmt::format("concat({})", fmt::join(begin, end, ", ")));
  }
  return fmt::format("{}", fmt::join(parts, " || "));
}

std::string hash_of(const Connection& sql, const Relation& relation, const std::vector<std::size_t>& columns) {
  return fmt::format("hashtextextended({} COLLATE \"C\", 0)", text_of(sql, relation, columns));
}

std::string row_hash(const Connection& sql, const Relation& relation) {
  std::vector<std::size_t> all(relation.columns.size());
  for (std::size_t n = 0; n < all.size(); ++n) all[n] = n;
  return hash_of(sql, relation, all);
}

std::string bucket_of(const Connection& sql, const Relation& relation) {
  const std::vector<std::size_t> key = relation.match_key();
  std::string number;
  if (has_integer_key(relation)) {
    number = sql.quoted_name(relation.columns[key.front()].name) + "::int8";
  } else {
    number = key.empty() ? row_hash(sql, relation) : hash_of(sql, relation, key);
  }
  return fmt::format("({} & {})", number, kBuckets - 1);
}

std::string condition(const Connection& sql, const sources::TableToCompare& table, const KeyRange& range) {
  std::vector<std::string> all;
  if (range.above || range.up_to) {
    const std::string key = sql.quoted_name(table.relation->columns[table.relation->match_key().front()].name);
    if (range.above) all.push_back(fmt::format("{} > {}", key, *range.above));
    if (range.up_to) all.push_back(fmt::format("{} <= {}", key, *range.up_to));
  }
  if (!table.row_filter.empty()) all.push_back("(" + table.row_filter + ")");
  return all.empty() ? "" : fmt::format(" WHERE {}", fmt::join(all, " AND "));
}

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  bool negative = false;
  for (const char c : text) {
    if (c == '-') {
      negative = true;
    } else {
      number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
  }
  return negative ? 0 - number : number;
}

}  // namespace

PostgresComparison::PostgresComparison(SourceSpec spec, std::stop_token stop)
    : spec_(std::move(spec)), stop_(std::move(stop)) {}
PostgresComparison::~PostgresComparison() = default;

template <typename Use>
auto PostgresComparison::with_connection(Use use) {
  if (!connection_) {
    auto made = Connection::open(spec_, ConnectionKind::kSql, stop_);
    made->give_up_on(stop_);
    const Rows encoding = made->query("SELECT current_setting('server_encoding')", kComparing);
    if (encoding.at(0, 0) != "UTF8")
      throw RefusedError("TR702", "the source's encoding is " + std::string(encoding.at(0, 0)),
                         "rows can be compared in databases with encoding UTF8 only");
    // One process of the server works for us, and no more.
    made->query("SET max_parallel_workers_per_gather = 0; SET jit = off", kComparing);
    connection_ = std::move(made);
  }
  // Gone with a throw: its transaction has failed.
  auto connection = std::move(connection_);
  if constexpr (std::is_void_v<decltype(use(*connection))>) {
    use(*connection);
    connection_ = std::move(connection);
  } else {
    auto result = use(*connection);
    connection_ = std::move(connection);
    return result;
  }
}

std::vector<sources::TableToCompare> PostgresComparison::tables() {
  return with_connection([&](Connection& sql) {
    Catalog catalog(sql);
    std::vector<sources::TableToCompare> tables;
    for (const PublishedTable& table : catalog.published_tables(existing_publications(sql, spec_), spec_.tables))
      tables.push_back({catalog.describe(table), table.row_filter});
    return tables;
  });
}

std::optional<std::int64_t> PostgresComparison::range_end(const sources::TableToCompare& table,
                                                          std::optional<std::int64_t> above, std::uint64_t rows) {
  return with_connection([&](Connection& sql) -> std::optional<std::int64_t> {
    const Relation& relation = *table.relation;
    const std::string key = sql.quoted_name(relation.columns[relation.match_key().front()].name);
    // Any bound will do: it is no part of what is compared.
    const Rows found = sql.query(
        fmt::format("SELECT {0} FROM {1}.{2}{3} ORDER BY 1 OFFSET {4} LIMIT 1", key, sql.quoted_name(relation.schema),
                    sql.quoted_name(relation.name), above ? fmt::format(" WHERE {} > {}", key, *above) : "", rows - 1),
        kComparing);
    if (found.empty()) return std::nullopt;
    return found.number(0, 0);
  });
}

sources::FencedDigests PostgresComparison::digest(const sources::TableToCompare& table, const KeyRange& range) {
  return with_connection([&](Connection& sql) {
    sources::FencedDigests out;
    const FencedTable fenced = begin_fence_on_table(sql, *table.relation);
    out.fence = fenced.fence;
    out.buckets.resize(kBuckets);
    const Rows rows = sql.query(
        fmt::format("SELECT b, count(*), sum(h) FROM (SELECT {} AS b, {} AS h FROM {}{}) AS hashed GROUP BY b",
                    bucket_of(sql, *table.relation), row_hash(sql, *table.relation), fenced.name,
                    condition(sql, table, range)),
        kComparing);
    sql.query("COMMIT", kComparing);
    for (std::size_t i = 0; i < rows.size(); ++i)
      out.buckets.at(rows.unsigned_number(i, 0)) = {rows.unsigned_number(i, 1), number_of(rows.at(i, 2))};
    return out;
  });
}

sources::FencedHashes PostgresComparison::list(const sources::TableToCompare& table, const KeyRange& range,
                                               const std::vector<std::size_t>& buckets) {
  return with_connection([&](Connection& sql) {
    const Relation& relation = *table.relation;
    sources::FencedHashes out;
    const FencedTable fenced = begin_fence_on_table(sql, relation);
    out.fence = fenced.fence;
    std::string where = condition(sql, table, range);
    where += where.empty() ? " WHERE " : " AND ";
    where += fmt::format("{} = ANY('{{{}}}'::int8[])", bucket_of(sql, relation), fmt::join(buckets, ","));
    std::string columns = row_hash(sql, relation);
    const std::vector<std::size_t> key = relation.match_key();
    for (const std::size_t column : key) columns += ", " + sql.quoted_name(relation.columns[column].name);
    const Rows rows = sql.query(fmt::format("SELECT {} FROM {}{}", columns, fenced.name, where), kComparing);
    sql.query("COMMIT", kComparing);
    out.rows.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      RowHash row;
      row.hash = static_cast<std::uint64_t>(rows.number(i, 0));
      if (!key.empty()) {
        TupleWriter writer(row.key, static_cast<std::uint16_t>(key.size()));
        for (std::size_t n = 0; n < key.size(); ++n) writer.text(rows.at(i, n + 1));
      }
      out.rows.push_back(std::move(row));
    }
    return out;
  });
}

FencedRows PostgresComparison::read(const sources::TableToCompare& table, const std::vector<std::string>& keys) {
  return with_connection([&](Connection& sql) { return read_keys(sql, table.relation, keys, table.row_filter); });
}

std::vector<Xid> PostgresComparison::running() {
  return with_connection([](Connection& sql) { return running_transactions(sql); });
}

}  // namespace tailrace::postgres
