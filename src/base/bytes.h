#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace tailrace {

/// Bytes that somebody else owns. Values and messages are referred to this way down the whole stack.
using ByteView = std::string_view;

/// Thrown by ByteReader when the bytes end too early. Parsers of foreign bytes turn it into an error of their room.
class OutOfBytes : public std::runtime_error {
 public:
  OutOfBytes() : std::runtime_error("the bytes end too early") {}
};

/// Reads integers and strings from bytes that it does not own; every step is checked. One thread, one parse.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool empty() const { return at_ == end_; }
  const char* at() const { return at_; }

  std::uint8_t u8() { return static_cast<std::uint8_t>(*take(1)); }
  /// Network byte order, as the PostgreSQL protocol has it.
  std::uint16_t be16() { return big<std::uint16_t>(); }
  std::uint32_t be32() { return big<std::uint32_t>(); }
  std::uint64_t be64() { return big<std::uint64_t>(); }
  /// Little-endian, as our own files have it.
  std::uint16_t le16() { return little<std::uint16_t>(); }
  std::uint32_t le32() { return little<std::uint32_t>(); }
  std::uint64_t le64() { return little<std::uint64_t>(); }

  ByteView bytes(std::size_t n) { return {take(n), n}; }
  void skip(std::size_t n) { take(n); }
  /// A string up to its NUL, which is consumed and not part of the result.
  ByteView c_string() {
    const void* nul = left() == 0 ? nullptr : std::memchr(at_, 0, left());
    if (nul == nullptr) throw OutOfBytes();
    const auto n = static_cast<std::size_t>(static_cast<const char*>(nul) - at_);
    ByteView text(at_, n);
    at_ += n + 1;
    return text;
  }
  ByteView rest() { return bytes(left()); }

 private:
  const char* take(std::size_t n) {
    if (n > left()) throw OutOfBytes();
    const char* from = at_;
    at_ += n;
    return from;
  }
  template <typename T>
  T big() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
    if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
    return static_cast<T>(__builtin_bswap64(value));
  }
  template <typename T>
  T little() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  const char* at_;
  const char* end_;
};

static_assert(std::endian::native == std::endian::little, "our files are read in place on little-endian machines");

/// Appends integers and strings to a string that the caller owns.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  void u8(std::uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void be16(std::uint16_t v) { raw(__builtin_bswap16(v)); }
  void be32(std::uint32_t v) { raw(__builtin_bswap32(v)); }
  void be64(std::uint64_t v) { raw(__builtin_bswap64(v)); }
  void le16(std::uint16_t v) { raw(v); }
  void le32(std::uint32_t v) { raw(v); }
  void le64(std::uint64_t v) { raw(v); }
  void bytes(ByteView v) { out_.append(v); }
  void c_string(ByteView v) {
    out_.append(v);
    out_.push_back('\0');
  }
  /// A 32-bit little-endian length, then the bytes.
  void sized(ByteView v) {
    le32(static_cast<std::uint32_t>(v.size()));
    out_.append(v);
  }

 private:
  template <typename T>
  void raw(T v) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &v, sizeof(T));
    out_.append(bytes, sizeof(T));
  }

  std::string& out_;
};

}  // namespace tailrace
