#include "sinks/lake/commit_record.h"

#include <fmt/format.h>

#include <iterator>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "formats/row_json.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kMark = "tailrace lake 1\n";

void put(ByteWriter& out, const Position& position) {
  out.le32(position.epoch);
  out.le64(position.commit_end.value());
  out.le64(position.ordinal);
}

Position position(ByteReader& in) {
  Position position;
  position.epoch = in.le32();
  position.commit_end = Lsn(in.le64());
  position.ordinal = in.le64();
  return position;
}

std::string text(ByteReader& in) { return std::string(in.bytes(in.le32())); }

[[noreturn]] void unreadable() {
  throw CorruptionError("TR854", "the lake keeps a record that this version cannot read",
                        "was it written by a newer version? Else give the pipeline a lake of its own, or bring back "
                        "its `_state` folder");
}

CommitRecord read_record(ByteReader& in) {
  CommitRecord record;
  record.number = in.le64();
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    std::string key = text(in);
    record.state[std::move(key)] = text(in);
  }
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    LakeTable& table = record.tables[in.le32()];
    table.name = text(in);
    table.folder = text(in);
    table.through = Seq(in.le64());
  }
  for (std::uint32_t n = in.le32(); n > 0; --n) record.emptied.push_back(text(in));
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    LakeObject& object = record.objects.emplace_back();
    object.path = text(in);
    object.token = text(in);
    object.table = text(in);
    object.first = position(in);
    object.last = position(in);
    object.rows = in.le64();
    object.bytes = in.le64();
  }
  return record;
}

}  // namespace

std::string encode(const CommitRecord& record) {
  std::string bytes(kMark);
  ByteWriter out(bytes);
  out.le64(record.number);
  out.le32(static_cast<std::uint32_t>(record.state.size()));
  for (const auto& [key, value] : record.state) {
    out.sized(key);
    out.sized(value);
  }
  out.le32(static_cast<std::uint32_t>(record.tables.size()));
  for (const auto& [oid, table] : record.tables) {
    out.le32(oid);
    out.sized(table.name);
    out.sized(table.folder);
    out.le64(table.through.value());
  }
  out.le32(static_cast<std::uint32_t>(record.emptied.size()));
  for (const std::string& folder : record.emptied) out.sized(folder);
  out.le32(static_cast<std::uint32_t>(record.objects.size()));
  for (const LakeObject& object : record.objects) {
    out.sized(object.path);
    out.sized(object.token);
    out.sized(object.table);
    put(out, object.first);
    put(out, object.last);
    out.le64(object.rows);
    out.le64(object.bytes);
  }
  out.le32(crc32c(bytes));
  return bytes;
}

CommitRecord decode(std::string_view bytes) {
  if (!bytes.starts_with(kMark) || bytes.size() < kMark.size() + 4) unreadable();
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (ByteReader(bytes.substr(body.size())).le32() != crc32c(body)) unreadable();
  try {
    ByteReader in(body.substr(kMark.size()));
    return read_record(in);
  } catch (const OutOfBytes&) {
    unreadable();
  }
}

std::string manifest_of(const CommitRecord& record) {
  std::string out;
  const auto add = [&out](const char* format, const auto&... values) {
    fmt::format_to(std::back_inserter(out), fmt::runtime(format), values...);
  };
  add("{{\"commit\":{},\"emptied\":[", record.number);
  for (std::size_t n = 0; n < record.emptied.size(); ++n) {
    if (n > 0) out += ',';
    formats::append_json_string(record.emptied[n], out);
  }
  out += "],\"objects\":[";
  for (std::size_t n = 0; n < record.objects.size(); ++n) {
    const LakeObject& object = record.objects[n];
    out += n > 0 ? ",\n{\"path\":" : "\n{\"path\":";
    formats::append_json_string(object.path, out);
    out += ",\"table\":";
    formats::append_json_string(object.table, out);
    add(",\"rows\":{},\"bytes\":{},\"first\":\"{}\",\"last\":\"{}\"}}", object.rows, object.bytes, object.first.str(),
        object.last.str());
  }
  return out + "]}\n";
}

}  // namespace tailrace::lake
