#include "model/row_digest.h"

#include <gtest/gtest.h>

#include <map>

namespace tailrace {
namespace {

TEST(RowDigestTest, HashesTextAsPostgresqlDoes) {
  // SELECT n, hashtextextended(left('The quick …', n) COLLATE "C", 0)
  const std::map<std::size_t, std::int64_t> expected = {
      {0, -6939563903564495251},  {1, -1338225982912146468},  {3, -7897229297791927534},  {4, 1214481609633084541},
      {7, -2752675330521770124},  {8, -1544529330263215465},  {9, -3165377590426475634},  {11, 2869438648668390509},
      {12, -9210305663925663560}, {13, -3863872140344080773}, {23, -6349138520123274615}, {24, 8360766130984247540},
      {25, -6568008242738964476}, {36, 5172465187460571644},  {50, 8820189069086956630}};
  const std::string text = "The quick brown fox jumps over the lazy dog, 0123456789";
  for (const auto& [length, hash] : expected)
    EXPECT_EQ(static_cast<std::int64_t>(hash_text(text.substr(0, length))), hash) << length;
}

Column column(std::uint32_t type, TypeKind kind = TypeKind::kBase) {
  Column column;
  column.type.base = Oid(type);
  column.type.kind = kind;
  return column;
}

TEST(RowDigestTest, CountsWhateverMayHoldASeparator) {
  for (const std::uint32_t type : {16U, 20U, 701U, 1700U, 1184U, 1186U, 17U, 2950U})
    EXPECT_FALSE(is_counted(column(type).type));
  for (const std::uint32_t type : {25U, 1042U, 3802U, 869U, 99999U}) EXPECT_TRUE(is_counted(column(type).type));
  EXPECT_TRUE(is_counted(column(23, TypeKind::kArray).type));
  EXPECT_TRUE(is_counted(column(99999, TypeKind::kEnum).type));
}

TEST(RowDigestTest, RangesNeedAnIntegerInFront) {
  Relation relation;
  relation.columns = {column(25), column(20)};
  EXPECT_FALSE(has_integer_key(relation));
  for (Column& column : relation.columns) column.in_identity = true;
  relation.columns[0].primary_key_place = 2;
  relation.columns[1].primary_key_place = 1;
  EXPECT_TRUE(has_integer_key(relation));
  std::swap(relation.columns[0].primary_key_place, relation.columns[1].primary_key_place);
  EXPECT_FALSE(has_integer_key(relation));
}

}  // namespace
}  // namespace tailrace
