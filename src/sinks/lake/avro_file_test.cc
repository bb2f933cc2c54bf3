#include "sinks/lake/avro_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/batch_for_test.h"
#include "sinks/lake/avro_schema.h"

namespace tailrace::lake::test {
namespace {

using sinks::RowChange;
using ::testing::HasSubstr;

LakeSpec avro() {
  LakeSpec spec;
  spec.form = file_form(Format::kAvro, Codec::kNone);
  return spec;
}

TEST(AvroSchemaTest, NamesAreThoseThatAvroAllowsAndTellOfTheOthers) {
  EXPECT_EQ(avro_name("a_b1"), "a_b1");
  EXPECT_EQ(avro_name("1 é\"x"), "_1___x");
  EXPECT_EQ(avro_name(""), "_");
  const TableShape shape(*tailrace::test::table("it em", {{"id", 20, -1, 1}, {"a b"}, {"a-b"}, {"a_b"}}), avro());
  const std::string schema = avro_schema(shape);
  EXPECT_THAT(schema, HasSubstr(R"("name":"it_em","namespace":"public")"));
  EXPECT_THAT(schema, HasSubstr(R"({"name":"a_b","type":["null","string"],"default":null,"column":"a b"})"));
  EXPECT_THAT(schema, HasSubstr(R"({"name":"a_b_2","type":["null","string"],"default":null,"column":"a-b"})"));
  EXPECT_THAT(schema, HasSubstr(R"({"name":"a_b_3","type":["null","string"],"default":null,"column":"a_b"})"));
}

TEST(AvroSchemaTest, TypesSayWhatTheirValuesMean) {
  const TableShape shape(*tailrace::test::table("t", {{"id", 20, -1, 1},
                                                      {"n", 1700, (20 << 16 | 5) + 4},
                                                      {"at", 1184},
                                                      {"span", 1186},
                                                      {"l", 1007, -1, 0, TypeKind::kArray, 23}}),
                         avro());
  const std::string schema = avro_schema(shape);
  EXPECT_THAT(schema, HasSubstr(R"({"type":"bytes","logicalType":"decimal","precision":20,"scale":5})"));
  EXPECT_THAT(schema, HasSubstr(R"({"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}])"));
  EXPECT_THAT(schema, HasSubstr(R"({"name":"span","type":["null","string"])"));
  EXPECT_THAT(schema, HasSubstr(R"({"type":"array","items":["null","int"]})"));
}

/// The rows' bytes of a file of one block.
std::string rows_of(const RelationPtr& relation, const RowForTest& row) {
  LakeSpec spec = avro();
  AvroFile file(std::make_shared<TableShape>(*relation, spec), Codec::kNone);
  const std::string empty = file.finish();
  AvroFile filled(std::make_shared<TableShape>(*relation, spec), Codec::kNone);
  const std::string bytes = tuple_bytes(row);
  RowChange change;
  change.relation = relation.get();
  change.new_row = TupleView(bytes);
  filled.append(change);
  const std::string all = filled.finish();
  // Behind the header: the number of rows and of bytes, the rows, the mark that divides blocks.
  return all.substr(empty.size() + 2, all.size() - empty.size() - 2 - 16);
}

TEST(AvroFileTest, DecimalsHaveNoMoreBytesThanTheyNeed) {
  const RelationPtr table = tailrace::test::table("t", {{"n", 1700, (38 << 16 | 0) + 4, 1}});
  const auto value = [&](const std::string& text) {
    const std::string bytes = rows_of(table, {text});
    return bytes.substr(1, 1 + static_cast<std::size_t>(bytes.at(1)) / 2);
  };
  using std::string_literals::operator""s;
  EXPECT_EQ(value("0"), "\x02\x00"s);
  EXPECT_EQ(value("127"), "\x02\x7f"s);
  EXPECT_EQ(value("128"), "\x04\x00\x80"s);
  EXPECT_EQ(value("-1"), "\x02\xff"s);
  EXPECT_EQ(value("-128"), "\x02\x80"s);
  EXPECT_EQ(value("-129"), "\x04\xff\x7f"s);
  EXPECT_EQ(value("-32768"), "\x04\x80\x00"s);
}

}  // namespace
}  // namespace tailrace::lake::test
