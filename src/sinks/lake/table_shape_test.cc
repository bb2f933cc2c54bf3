#include "sinks/lake/table_shape.h"

#include <gtest/gtest.h>

#include "model/batch_for_test.h"
#include "model/tuple_for_test.h"

namespace tailrace::lake::test {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using tailrace::tuple_bytes;

LakeSpec spec_of(Format format) {
  LakeSpec spec;
  spec.form = file_form(format, Codec::kDefault);
  return spec;
}

bool refused(const RelationPtr& relation, const tailrace::test::Row& row, Format format = Format::kParquet) {
  const TableShape shape(*relation, spec_of(format));
  const std::string bytes = tuple_bytes(row);
  RowChange change;
  change.operation = RowOperation::kInsert;
  change.relation = relation.get();
  change.new_row = TupleView(bytes);
  return shape.refusal_of(change) != nullptr;
}

TEST(TableShapeTest, WhatParquetCannotHoldIsRefusedBeforehand) {
  const RelationPtr table = tailrace::test::table(
      "t", {{"id", 23, -1, 1}, {"v"}, {"n", 1700, (10 << 16 | 2) + 4}, {"at", 1114}, {"day", 1082}});
  EXPECT_FALSE(refused(table, {"1", "infinity", "1.50", "2024-01-01 00:00:00", "2024-01-01"}));
  EXPECT_TRUE(refused(table, {"1", "", "NaN", "2024-01-01 00:00:00", "2024-01-01"}));
  EXPECT_TRUE(refused(table, {"1", "", "1.50", "infinity", "2024-01-01"}));
  EXPECT_TRUE(refused(table, {"1", "", "1.50", "2024-01-01 00:00:00", "-infinity"}));
  EXPECT_TRUE(refused(table, {"1", "", "1.50", "294999-01-01 00:00:00", "2024-01-01"}));
  EXPECT_FALSE(refused(table, {"1", "", "NaN", "infinity", "-infinity"}, Format::kJsonLines));
}

TEST(TableShapeTest, TypesThatParquetWouldCurtailAreText) {
  const RelationPtr table =
      tailrace::test::table("t", {{"id", 23, -1, 1}, {"span", 1186}, {"clock", 1266}, {"at", 1184}});
  const TableShape shape(*table, spec_of(Format::kParquet));
  EXPECT_EQ(shape.types()[1].sql(), "VARCHAR");
  EXPECT_EQ(shape.types()[2].sql(), "VARCHAR");
  EXPECT_EQ(shape.types()[3].sql(), "TIMESTAMPTZ");
}

TEST(TableShapeTest, AVersionIsKnownByWhatIsWrittenAndNotByWhenItWasRead) {
  const RelationPtr table = tailrace::test::items();
  Relation again = *table;
  again.as_of = Lsn(4711);
  again.storage = 7;
  again.membership = 9;
  Relation other = again;
  other.columns[1].name = "w";
  const LakeSpec spec = spec_of(Format::kParquet);
  const TableShape shape(*table, spec);
  EXPECT_TRUE(TableShape(again, spec).is_written_as(shape));
  EXPECT_EQ(TableShape(again, spec).version(), shape.version());
  EXPECT_FALSE(TableShape(other, spec).is_written_as(shape));
  EXPECT_NE(TableShape(other, spec).version(), shape.version());
}

TEST(TableShapeTest, NamesOfColumnsThatCollideHoldTheTable) {
  EXPECT_EQ(TableShape::obstacle(*tailrace::test::items(), spec_of(Format::kParquet)), "");
  const RelationPtr cases = tailrace::test::table("t", {{"a", 23, -1, 1}, {"A"}});
  EXPECT_NE(TableShape::obstacle(*cases, spec_of(Format::kParquet)), "");
  EXPECT_EQ(TableShape::obstacle(*cases, spec_of(Format::kJsonLines)), "");
  const RelationPtr ours = tailrace::test::table("t", {{"a", 23, -1, 1}, {"_seq"}});
  EXPECT_NE(TableShape::obstacle(*ours, spec_of(Format::kJsonLines)), "");
}

}  // namespace
}  // namespace tailrace::lake::test
