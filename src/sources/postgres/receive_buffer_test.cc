#include "sources/postgres/receive_buffer.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace tailrace::postgres {
namespace {

std::string message(char type, const std::string& body) {
  std::string out(1, type);
  ByteWriter(out).be32(static_cast<std::uint32_t>(body.size() + 4));
  return out + body;
}

/// Feeds `bytes` in pieces of `piece` and gives every message found.
std::vector<std::string> cut(ReceiveBuffer& buffer, const std::string& bytes, std::size_t piece) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::size_t n = std::min(piece, bytes.size() - at);
    const auto space = buffer.space(n);
    std::memcpy(space.at, bytes.data() + at, n);
    buffer.filled(n);
    while (const auto found = buffer.next()) out.push_back(std::string(1, found->type) + std::string(found->body));
  }
  return out;
}

TEST(ReceiveBufferTest, messages_are_the_same_however_they_are_fragmented) {
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 50; ++i) {
    const std::string body(static_cast<std::size_t>(i * i), static_cast<char>('a' + i % 26));
    bytes += message('d', body);
    expected.push_back("d" + body);
  }
  for (const std::size_t piece : {1u, 2u, 3u, 4u, 5u, 7u, 64u, 1000u, 100000u}) {
    ReceiveBuffer buffer(256);
    EXPECT_EQ(cut(buffer, bytes, piece), expected) << "pieces of " << piece;
    EXPECT_EQ(buffer.unread(), 0u);
  }
}

TEST(ReceiveBufferTest, it_grows_once_for_a_large_message_and_shrinks_back) {
  ReceiveBuffer buffer(1024);
  const std::string large(100'000, 'x');
  EXPECT_EQ(cut(buffer, message('d', large), 512), std::vector<std::string>{"d" + large});
  EXPECT_LE(buffer.capacity(), large.size() + 2048);
  cut(buffer, message('d', "small"), 512);
  EXPECT_EQ(buffer.capacity(), 1024u);
}

TEST(ReceiveBufferTest, an_impossible_length_ends_the_connection) {
  ReceiveBuffer buffer(64);
  EXPECT_THROW(cut(buffer, std::string("d\0\0\0\1", 5), 5), ReconnectError);
  ReceiveBuffer other(64);
  EXPECT_THROW(cut(other, std::string("d\xff\xff\xff\xff", 5), 5), ReconnectError);
}

}  // namespace
}  // namespace tailrace::postgres
