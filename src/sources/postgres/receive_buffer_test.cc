#include "sources/postgres/receive_buffer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
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
  for (std::size_t at = 0; at < bytes.size();) {
    const auto space = buffer.space(std::min(piece, bytes.size() - at));
    const std::size_t n = std::min({piece, bytes.size() - at, space.size});
    std::memcpy(space.at, bytes.data() + at, n);
    buffer.filled(n);
    at += n;
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

TEST(ReceiveBufferTest, long_messages_lie_in_a_file_and_are_the_same_however_they_are_fragmented) {
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 12; ++i) {
    const std::string body(static_cast<std::size_t>(i % 3 == 0 ? 40'000 + i : 10 * i), static_cast<char>('a' + i));
    bytes += message('d', body);
    expected.push_back("d" + body);
  }
  for (const std::size_t piece : {1u, 5u, 64u, 1000u, 39'999u, 40'006u, 100'000u}) {
    ReceiveBuffer buffer(256, std::filesystem::temp_directory_path(), 20'000);
    EXPECT_EQ(cut(buffer, bytes, piece), expected) << "pieces of " << piece;
    // What was incomplete when it was met did not grow it.
    EXPECT_LE(buffer.capacity(), std::max<std::size_t>(piece, 256) * 2);
  }
}

/// Bytes of this process that are in memory.
std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t pages = 0;
  file >> size >> pages;
  return pages * static_cast<std::size_t>(getpagesize());
}

/// What the thread sanitizer keeps in memory for every byte that was written, wherever that lies.
#ifdef __SANITIZE_THREAD__
constexpr std::size_t kShadowPerByte = 4;
#else
constexpr std::size_t kShadowPerByte = 0;
#endif

TEST(ReceiveBufferTest, of_a_very_long_message_nearly_nothing_is_in_memory) {
  constexpr std::size_t kBody = 128 << 20;
  ReceiveBuffer buffer(1 << 20, std::filesystem::temp_directory_path());
  std::string header = "d";
  ByteWriter(header).be32(kBody + 4);
  EXPECT_TRUE(cut(buffer, header, header.size()).empty());
  const std::size_t before = resident();
  std::size_t most = 0;
  for (std::size_t left = kBody; left > 0;) {
    const auto space = buffer.space(1);
    const std::size_t n = std::min({space.size, left, std::size_t{300'000}});
    std::memset(space.at, static_cast<int>('a' + left % 26), n);
    buffer.filled(n);
    left -= n;
    most = std::max(most, resident());
    const auto found = buffer.next();
    EXPECT_EQ(found.has_value(), left == 0);
    EXPECT_EQ(found ? found->body.size() : kBody, kBody);
  }
  EXPECT_LT(most - before, (std::size_t{16} << 20) + kShadowPerByte * kBody);
}

TEST(ReceiveBufferTest, what_follows_a_long_message_is_not_read_before_that_is_taken) {
  ReceiveBuffer buffer(256, std::filesystem::temp_directory_path(), 1000);
  const std::string bytes = message('d', std::string(5000, 'x'));
  EXPECT_TRUE(cut(buffer, bytes.substr(0, 100), 100).empty());
  const auto space = buffer.space(1);
  ASSERT_EQ(space.size, bytes.size() - 100);
  std::memcpy(space.at, bytes.data() + 100, space.size);
  buffer.filled(space.size);
  EXPECT_EQ(buffer.space(1).size, 0u);
  EXPECT_TRUE(buffer.next());
  EXPECT_GE(buffer.space(1).size, 1u);
}

TEST(ReceiveBufferTest, a_long_message_waits_for_room) {
  const auto place = std::filesystem::temp_directory_path() / ("receive_buffer_" + std::to_string(getpid()));
  std::filesystem::remove(place);
  ReceiveBuffer buffer(256, place, 1000);
  const std::string bytes = message('d', std::string(5000, 'x'));
  const auto space = buffer.space(100);
  std::memcpy(space.at, bytes.data(), 100);
  buffer.filled(100);
  EXPECT_THROW(buffer.next(), RetryError);
  EXPECT_THROW(buffer.next(), RetryError);
  EXPECT_GE(buffer.space(1).size, 1u);
  std::filesystem::create_directory(place);
  EXPECT_FALSE(buffer.next());
  EXPECT_EQ(cut(buffer, bytes.substr(100), 700), std::vector<std::string>{bytes.substr(0, 1) + bytes.substr(5)});
  std::filesystem::remove(place);
}

TEST(ReceiveBufferTest, an_impossible_length_ends_the_connection) {
  ReceiveBuffer buffer(64);
  EXPECT_THROW(cut(buffer, std::string("d\0\0\0\1", 5), 5), ReconnectError);
  ReceiveBuffer other(64);
  EXPECT_THROW(cut(other, std::string("d\xff\xff\xff\xff", 5), 5), ReconnectError);
}

}  // namespace
}  // namespace tailrace::postgres
