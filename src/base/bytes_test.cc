#include "base/bytes.h"

#include <gtest/gtest.h>

namespace tailrace {
namespace {

TEST(ByteReader, ReadsBackWhatByteWriterWrote) {
  std::string out;
  ByteWriter writer(out);
  writer.u8(7);
  writer.be16(0x0102);
  writer.be32(0x01020304);
  writer.be64(0x0102030405060708);
  writer.le64(42);
  writer.c_string("abc");
  EXPECT_EQ(out[1], '\x01');
  ByteReader reader(out);
  EXPECT_EQ(reader.u8(), 7);
  EXPECT_EQ(reader.be16(), 0x0102);
  EXPECT_EQ(reader.be32(), 0x01020304u);
  EXPECT_EQ(reader.be64(), 0x0102030405060708u);
  EXPECT_EQ(reader.le64(), 42u);
  EXPECT_EQ(reader.c_string(), "abc");
  EXPECT_TRUE(reader.empty());
}

TEST(ByteReader, NeverReadsPastTheEnd) {
  ByteReader reader(ByteView("\0\0\0", 3));
  EXPECT_THROW(reader.be32(), OutOfBytes);
  EXPECT_THROW(ByteReader(ByteView("abc")).c_string(), OutOfBytes);
  EXPECT_THROW(ByteReader(ByteView()).u8(), OutOfBytes);
}

}  // namespace
}  // namespace tailrace
