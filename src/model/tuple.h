#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tailrace {

/// How one column stands in a tuple. `kUnchanged` is TOAST that was not sent: it is carried to the sink and never
/// becomes null.
enum class FieldKind : char { kNull = 'n', kUnchanged = 'u', kText = 't', kBinary = 'b' };

/// One column's place in a tuple. A view.
struct Field {
  FieldKind kind = FieldKind::kNull;
  /// The value's bytes for kText and kBinary; empty otherwise.
  ByteView bytes;
};

/// A tuple in pgoutput's form (16-bit count, then per column a kind byte and, for values, a 32-bit big-endian length
/// and the bytes; PostgreSQL documentation, "Logical Replication Message Formats", TupleData). It is also the form of
/// copied rows and of the log. A view: the bytes belong to somebody else.
/// REQUIRES: the bytes have been checked once by `measure_tuple`; iteration itself does not check again.
class TupleView {
 public:
  TupleView() = default;
  explicit TupleView(ByteView bytes) : bytes_(bytes) {}

  bool present() const { return !bytes_.empty(); }
  ByteView bytes() const { return bytes_; }
  std::size_t size() const {
    return (static_cast<std::size_t>(static_cast<unsigned char>(bytes_[0])) << 8) |
           static_cast<unsigned char>(bytes_[1]);
  }

  /// Walks the fields from left to right: `for (auto it = tuple.begin(); n < tuple.size(); ++n) use(it.next());`
  class Cursor {
   public:
    explicit Cursor(const char* at) : at_(at) {}
    Field next() {
      const auto kind = static_cast<FieldKind>(*at_++);
      if (kind == FieldKind::kNull || kind == FieldKind::kUnchanged) return {kind, {}};
      std::uint32_t length;
      std::memcpy(&length, at_, 4);
      length = __builtin_bswap32(length);
      const char* value = at_ + 4;
      at_ = value + length;
      return {kind, {value, length}};
    }

   private:
    const char* at_;
  };
  Cursor begin() const { return Cursor(bytes_.data() + 2); }

 private:
  ByteView bytes_;
};

/// Consumes one tuple from `in` after checking every length, and gives a view of it. Throws OutOfBytes.
TupleView measure_tuple(ByteReader& in);

/// Builds a tuple in the same form. Used by the copy path and by tests.
class TupleWriter {
 public:
  /// Begins a tuple of `columns` fields at the end of `out`, which the caller owns.
  TupleWriter(std::string& out, std::uint16_t columns) : out_(out) { ByteWriter(out_).be16(columns); }
  void null() { out_.push_back('n'); }
  void unchanged() { out_.push_back('u'); }
  void text(ByteView value) {
    out_.push_back('t');
    ByteWriter writer(out_);
    writer.be32(static_cast<std::uint32_t>(value.size()));
    writer.bytes(value);
  }

 private:
  std::string& out_;
};

}  // namespace tailrace
