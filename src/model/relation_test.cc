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

TEST(Relation, ReadsTheFormWithoutDelimiters) {
  Relation relation = orders();
  relation.columns.resize(1);
  std::string bytes = encode_relation(relation);
  const auto sized = [](const std::string& text) { return 4 + text.size(); };
  const std::size_t column = 1 + 4 + sized(relation.schema) + sized(relation.name) + 1 + 1 + 2 + 8 + 2;
  const std::size_t delimiter = column + sized(relation.columns[0].name) + 2 + 4 * 4 + 1 + 4 + 1;
  ASSERT_EQ(bytes.at(delimiter), ',');
  bytes.erase(delimiter, 1);
  bytes.front() = 2;
  EXPECT_EQ(*decode_relation(bytes), relation);
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
