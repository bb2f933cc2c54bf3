#include "model/relation.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace tailrace {
namespace {

Relation orders() {
  Relation relation;
  relation.oid = Oid(3000000001u);
  relation.schema = "public";
  relation.name = "Orders \"x\"";
  relation.primary_key_immediate = true;
  for (const char* name : {"b", "a", "note"}) {
    Column column;
    column.name = name;
    column.attnum = static_cast<std::int16_t>(relation.columns.size() + 1);
    column.type.base = Oid(25);
    column.type.base_name = "text";
    relation.columns.push_back(column);
  }
  relation.columns[2].type.delimiter = ';';
  relation.columns[0].primary_key_place = 2;
  relation.columns[1].primary_key_place = 1;
  relation.columns[0].in_identity = relation.columns[1].in_identity = true;
  return relation;
}

TEST(Relation, ReadsBackFromItsDurableForm) { EXPECT_EQ(*decode_relation(encode_relation(orders())), orders()); }

/// A relation of one column in an earlier durable form.
std::string in_format(const Relation& relation, char format) {
  std::string bytes = encode_relation(relation);
  const auto sized = [](const std::string& text) { return 4 + text.size(); };
  const std::size_t storage = 1 + 4 + sized(relation.schema) + sized(relation.name) + 1 + 1 + 2;
  const std::size_t catalog_part = storage + 8;
  constexpr std::size_t kCatalogPart = 4 + 8 + 1 + 8;
  const std::size_t column = catalog_part + kCatalogPart + 2;
  const std::size_t delimiter = column + sized(relation.columns[0].name) + 2 + 4 * 4 + 1 + 4 + 1;
  const ColumnType& type = relation.columns[0].type;
  const std::size_t forms = delimiter + 1 + sized(type.base_schema) + sized(type.base_name) + sized(type.display);
  bytes.erase(bytes.size() - 8);
  bytes.erase(forms, 4);
  if (format < 3) bytes.erase(delimiter, 1);
  bytes.erase(catalog_part, kCatalogPart);
  bytes.front() = format;
  return bytes;
}

TEST(Relation, ReadsItsEarlierForms) {
  Relation relation = orders();
  relation.columns.resize(1);
  for (const char format : {2, 3}) EXPECT_EQ(*decode_relation(in_format(relation, format)), relation) << int{format};
}

TEST(Relation, WhatTheCatalogSaidIsKept) {
  Relation relation = orders();
  relation.partitions = {{Oid(7), 8, 9, true}, {Oid(17), 18, 19, false}};
  relation.membership = 77;
  relation.standing = Standing::kUnpublished;
  relation.as_of = Lsn(123);
  relation.columns[0].type.forms = {1, 5};
  relation.columns[1].written = 4;
  relation.columns[1].default_value = Oid(6);
  const RelationPtr read = decode_relation(encode_relation(relation));
  EXPECT_EQ(*read, relation);
  EXPECT_EQ(read->as_of, Lsn(123));
  relation.as_of = Lsn(124);
  EXPECT_EQ(*read, relation);
}

TEST(Relation, RefusesDamagedBytes) {
  const std::string bytes = encode_relation(orders());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(decode_relation(std::string_view(bytes).substr(0, n)), BadDataError);
}

TEST(Relation, MatchKeyFollowsThePrimaryKeysOrder) {
  EXPECT_EQ(orders().match_key(), (std::vector<std::size_t>{1, 0}));
}

TEST(Relation, FullIdentityUsesAnImmediatePrimaryKeyElseTheWholeRow) {
  Relation relation = orders();
  relation.identity = ReplicaIdentity::kFull;
  for (Column& column : relation.columns) column.in_identity = true;
  EXPECT_EQ(relation.match_key(), (std::vector<std::size_t>{1, 0}));
  relation.primary_key_immediate = false;
  EXPECT_TRUE(relation.match_key().empty());
}

TEST(Relation, IndexIdentityUsesTheIndexColumns) {
  Relation relation = orders();
  relation.identity = ReplicaIdentity::kIndex;
  for (Column& column : relation.columns) column.in_identity = column.name == "note";
  EXPECT_EQ(relation.match_key(), (std::vector<std::size_t>{2}));
}

}  // namespace
}  // namespace tailrace
