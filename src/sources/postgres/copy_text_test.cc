#include "sources/postgres/copy_text.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/tuple.h"

namespace tailrace::postgres {
namespace {

std::string decoded(const std::string& line, std::uint16_t columns) {
  const CopyTextDecoder decoder(columns);
  std::string out(decoder.most_bytes(line.size()), '\0');
  const char* end = decoder.decode(line, out.data());
  out.resize(static_cast<std::size_t>(end - out.data()));
  return out;
}

std::string tuple_of(const std::vector<const char*>& values) {
  std::string out;
  TupleWriter writer(out, static_cast<std::uint16_t>(values.size()));
  for (const char* value : values) {
    if (value == nullptr)
      writer.null();
    else
      writer.text(value);
  }
  return out;
}

TEST(CopyTextTest, fields_become_a_tuple_as_the_stream_has_it) {
  EXPECT_EQ(decoded("1\ttwo\t3.0\n", 3), tuple_of({"1", "two", "3.0"}));
}

TEST(CopyTextTest, null_and_the_text_that_looks_like_it_are_told_apart) {
  EXPECT_EQ(decoded("\\N\t\\\\N\t\\N\n", 3), tuple_of({nullptr, "\\N", nullptr}));
}

TEST(CopyTextTest, empty_strings_are_values) { EXPECT_EQ(decoded("\t\t\n", 3), tuple_of({"", "", ""})); }

TEST(CopyTextTest, a_row_of_one_empty_string_and_one_without_columns_differ) {
  EXPECT_EQ(decoded("\n", 1), tuple_of({""}));
  EXPECT_EQ(decoded("\n", 0), tuple_of({}));
}

TEST(CopyTextTest, every_escape_is_undone_wherever_it_stands) {
  EXPECT_EQ(decoded("\\b\\f\\n\\r\\t\\v\\\\\n", 1), tuple_of({"\b\f\n\r\t\v\\"}));
  const std::string filler(15, 'x');
  EXPECT_EQ(decoded(filler + "\\t" + filler + "\\n\t" + filler + filler + "\\\\\n", 2),
            tuple_of({(filler + "\t" + filler + "\n").c_str(), (filler + filler + "\\").c_str()}));
}

TEST(CopyTextTest, a_value_that_is_the_end_marker_is_a_value) { EXPECT_EQ(decoded("\\\\.\n", 1), tuple_of({"\\."})); }

TEST(CopyTextTest, values_of_every_length_come_through) {
  for (std::size_t length = 0; length < 70; ++length) {
    const std::string value(length, 'v');
    EXPECT_EQ(decoded(value + "\t" + value + "\n", 2), tuple_of({value.c_str(), value.c_str()})) << length;
  }
}

TEST(CopyTextTest, a_very_long_line_becomes_the_same_tuple) {
  std::string line;
  for (std::size_t i = 0; line.size() < std::size_t{5} << 20; ++i) line += std::string(i % 70'000, 'v') + "\\t\\\\";
  line += "\t" + std::string(3 << 20, 'w') + "\t\\N\n";
  const CopyTextDecoder decoder(3);
  std::string out(decoder.most_bytes(line.size()), '\0');
  out.resize(static_cast<std::size_t>(decoder.decode_long(line, out.data()) - out.data()));
  EXPECT_TRUE(out == decoded(line, 3));
}

TEST(CopyTextTest, lines_that_copy_does_not_send_are_refused) {
  EXPECT_THROW(decoded("1\t2\n", 3), BadDataError);
  EXPECT_THROW(decoded("1\t2\t3\n", 2), BadDataError);
  EXPECT_THROW(decoded("1", 1), BadDataError);
  EXPECT_THROW(decoded("", 1), BadDataError);
  EXPECT_THROW(decoded("a\\q\n", 1), BadDataError);
  EXPECT_THROW(decoded("a\\\n", 1), BadDataError);
  EXPECT_THROW(decoded("x\n", 0), BadDataError);
}

}  // namespace
}  // namespace tailrace::postgres
