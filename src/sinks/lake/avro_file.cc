#include "sinks/lake/avro_file.h"

#include <bit>
#include <initializer_list>
#include <random>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/value_text.h"
#include "sinks/lake/avro_schema.h"
#include "sinks/lake/compression.h"

namespace tailrace::lake {
namespace {

using formats::ArrayReader;
using sinks::RowChange;
using vectors::Shape;
using vectors::TargetType;

constexpr std::size_t kBlockBytes = 128U << 10;
constexpr std::size_t kSyncBytes = 16;
/// Which branch of the union that every field is.
constexpr std::int64_t kNull = 0;
constexpr std::int64_t kValue = 1;

/// int and long: zig-zag, seven bits a byte, the lowest first.
void put_long(std::int64_t value, std::string& out) {
  std::uint64_t rest = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
  while (rest >= 0x80) {
    out += static_cast<char>(rest | 0x80);
    rest >>= 7;
  }
  out += static_cast<char>(rest);
}

void put_bytes(ByteView bytes, std::string& out) {
  put_long(static_cast<std::int64_t>(bytes.size()), out);
  out += bytes;
}

/// Two's complement, the highest byte first, no more bytes than needed.
void put_decimal(formats::Int128 value, std::string& out) {
  std::string bytes;
  for (int shift = 120; shift >= 0; shift -= 8) {
    const auto byte = static_cast<unsigned char>(value >> shift);
    // A byte that only repeats the sign of the one behind it says nothing.
    const bool negative_behind = shift > 0 && ((value >> (shift - 1)) & 1) != 0;
    const bool redundant = shift > 0 && ((byte == 0 && !negative_behind) || (byte == 0xff && negative_behind));
    if (bytes.empty() && redundant) continue;
    bytes += static_cast<char>(byte);
  }
  put_bytes(bytes, out);
}

void put_map(std::initializer_list<std::pair<ByteView, ByteView>> entries, std::string& out) {
  put_long(static_cast<std::int64_t>(entries.size()), out);
  for (const auto& [key, value] : entries) {
    put_bytes(key, out);
    put_bytes(value, out);
  }
  put_long(0, out);
}

const char* name_of(Codec codec) {
  switch (codec) {
    case Codec::kDeflate: return "deflate";
    case Codec::kSnappy: return "snappy";
    case Codec::kZstd: return "zstandard";
    default: return "null";
  }
}

std::string compressed(const std::string& block, Codec codec) {
  switch (codec) {
    case Codec::kDeflate: return deflated(block);
    case Codec::kSnappy: return snappy_with_crc(block);
    case Codec::kZstd: return zstd_compressed(block);
    default: return block;
  }
}

template <typename T, typename Parse>
bool put_number(ByteView text, std::string& out, Parse parse) {
  T value{};
  if (!parse(text, value)) return false;
  put_long(value, out);
  return true;
}

}  // namespace

AvroFile::AvroFile(std::shared_ptr<const TableShape> shape, Codec codec) : shape_(std::move(shape)), codec_(codec) {
  std::random_device random;
  while (sync_.size() < kSyncBytes) ByteWriter(sync_).le32(random());
  out_ = std::string("Obj\x01", 4);
  put_map({{"avro.schema", avro_schema(*shape_)}, {"avro.codec", name_of(codec_)}}, out_);
  out_ += sync_;
}

void AvroFile::append(const RowChange& change) {
  const TupleView row = change.row();
  const std::vector<TargetType>& types = shape_->types();
  if (row.present()) {
    auto fields = row.begin();
    for (const TargetType& type : types) put(type, fields.next());
  } else {
    block_.append(types.size(), '\0');
  }
  for (const ExtraColumn& extra : shape_->extras()) put_extra(change, extra.what);
  ++rows_;
  if (block_.size() >= kBlockBytes) end_block();
}

void AvroFile::put(const TargetType& type, const Field& field) {
  if (field.kind == FieldKind::kNull || field.kind == FieldKind::kUnchanged) return put_long(kNull, block_);
  put_long(kValue, block_);
  if (!(type.list ? put_list(type, field.bytes) : put_scalar(type, field.bytes, block_)))
    throw DefectError("a change was not refused that its object cannot hold");
}

bool AvroFile::put_scalar(const TargetType& type, ByteView text, std::string& out) {
  switch (type.shape) {
    case Shape::kBool: {
      bool value = false;
      if (!formats::parse_bool(text, value)) return false;
      out += value ? '\1' : '\0';
      return true;
    }
    case Shape::kInt16:
    case Shape::kInt32:
    case Shape::kInt64:
    case Shape::kUInt32: return put_number<std::int64_t>(text, out, formats::parse_int);
    case Shape::kFloat: {
      float value = 0;
      if (!formats::parse_float(text, value)) return false;
      ByteWriter(out).le32(std::bit_cast<std::uint32_t>(value));
      return true;
    }
    case Shape::kDouble: {
      double value = 0;
      if (!formats::parse_double(text, value)) return false;
      ByteWriter(out).le64(std::bit_cast<std::uint64_t>(value));
      return true;
    }
    case Shape::kDecimal16:
    case Shape::kDecimal32:
    case Shape::kDecimal64:
    case Shape::kDecimal128: {
      formats::Int128 value = 0;
      if (!formats::parse_decimal(text, type.width, type.scale, value)) return false;
      put_decimal(value, out);
      return true;
    }
    case Shape::kBlob: {
      std::size_t size = 0;
      if (!formats::bytea_size(text, size)) return false;
      put_long(static_cast<std::int64_t>(size), out);
      const std::size_t at = out.size();
      out.resize(at + size);
      return formats::decode_bytea(text, out.data() + at);
    }
    case Shape::kDate: return put_number<std::int32_t>(text, out, formats::parse_date);
    case Shape::kTime: return put_number<std::int64_t>(text, out, formats::parse_time);
    case Shape::kTimestamp:
    case Shape::kTimestampTz: return put_number<std::int64_t>(text, out, formats::parse_timestamp);
    case Shape::kVarchar:
    case Shape::kJson:
    case Shape::kUuid:
    case Shape::kTimeTz:
    case Shape::kInterval: put_bytes(text, out); return true;
  }
  return false;
}

bool AvroFile::put_list(const TargetType& type, ByteView text) {
  ArrayReader array(text, type.delimiter);
  if (!array.open()) return false;
  text_.clear();
  std::int64_t count = 0;
  ByteView value;
  for (auto step = array.next(value, scratch_); step != ArrayReader::Step::kEnd; step = array.next(value, scratch_)) {
    if (step == ArrayReader::Step::kRefused) return false;
    ++count;
    const bool null = step == ArrayReader::Step::kNull;
    put_long(null ? kNull : kValue, text_);
    if (!null && !put_scalar(type, value, text_)) return false;
  }
  // One block of all elements, then the one that ends the array.
  if (count > 0) put_long(count, block_);
  block_ += text_;
  put_long(0, block_);
  return true;
}

void AvroFile::put_extra(const RowChange& change, Extra extra) {
  if (extra == Extra::kCommitLsn || extra == Extra::kOrdinal || extra == Extra::kSeq || extra == Extra::kCommitTime) {
    const auto number = shape_->number_of(change, extra);
    put_long(number ? kValue : kNull, block_);
    if (number) put_long(*number, block_);
    return;
  }
  text_.clear();
  const bool there = shape_->append_text_of(change, extra, text_);
  put_long(there ? kValue : kNull, block_);
  if (there) put_bytes(text_, block_);
}

void AvroFile::end_block() {
  if (rows_ == 0) return;
  const std::string bytes = compressed(block_, codec_);
  put_long(rows_, out_);
  put_bytes(bytes, out_);
  out_ += sync_;
  block_.clear();
  rows_ = 0;
}

std::string AvroFile::finish() {
  end_block();
  return std::move(out_);
}

}  // namespace tailrace::lake
