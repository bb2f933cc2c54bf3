#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tailrace {

/// A place in the write-ahead log: 64 bits, numeric order. A value; never compared or stored as text.
/// Zero is PostgreSQL's InvalidXLogRecPtr.
class Lsn {
 public:
  constexpr Lsn() = default;
  constexpr explicit Lsn(std::uint64_t value) : value_(value) {}

  constexpr std::uint64_t value() const { return value_; }
  constexpr bool valid() const { return value_ != 0; }
  constexpr auto operator<=>(const Lsn&) const = default;

  /// Reads "X/X" with either half zero-padded or not; nothing when the text is not an LSN.
  static std::optional<Lsn> parse(std::string_view text);
  /// PostgreSQL's notation, "16/B374D848".
  std::string str() const;

 private:
  std::uint64_t value_ = 0;
};

/// An object identifier of PostgreSQL (relation, type, database). Unsigned, 32 bits.
class Oid {
 public:
  constexpr Oid() = default;
  constexpr explicit Oid(std::uint32_t value) : value_(value) {}
  constexpr std::uint32_t value() const { return value_; }
  constexpr bool valid() const { return value_ != 0; }
  constexpr auto operator<=>(const Oid&) const = default;

 private:
  std::uint32_t value_ = 0;
};

/// A transaction id as it stands in the WAL: 32 bits, wraps around. Only equality has a meaning.
class Xid {
 public:
  constexpr Xid() = default;
  constexpr explicit Xid(std::uint32_t value) : value_(value) {}
  constexpr std::uint32_t value() const { return value_; }
  constexpr bool valid() const { return value_ != 0; }
  constexpr bool operator==(const Xid&) const = default;

 private:
  std::uint32_t value_ = 0;
};

/// A change's 64-bit number, strictly increasing in Position order over the whole life of a log.
class Seq {
 public:
  constexpr Seq() = default;
  constexpr explicit Seq(std::uint64_t value) : value_(value) {}
  constexpr std::uint64_t value() const { return value_; }
  constexpr auto operator<=>(const Seq&) const = default;

 private:
  std::uint64_t value_ = 0;
};

}  // namespace tailrace

template <>
struct std::hash<tailrace::Lsn> {
  std::size_t operator()(tailrace::Lsn l) const noexcept { return std::hash<std::uint64_t>{}(l.value()); }
};
template <>
struct std::hash<tailrace::Oid> {
  std::size_t operator()(tailrace::Oid o) const noexcept { return std::hash<std::uint32_t>{}(o.value()); }
};
template <>
struct std::hash<tailrace::Xid> {
  std::size_t operator()(tailrace::Xid x) const noexcept { return std::hash<std::uint32_t>{}(x.value()); }
};
