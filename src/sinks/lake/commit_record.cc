#include "sinks/lake/commit_record.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "formats/row_json.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kMark = "tailrace lake 2\n";
/// Before there were topics.
constexpr std::string_view kFirstMark = "tailrace lake 1\n";

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

TopicStep read_topics(ByteReader& in) {
  TopicStep topics;
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    std::string topic = text(in);
    topics.next[std::move(topic)] = in.le64();
  }
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    OpenFileId& file = topics.open.emplace_back();
    file.topic = text(in);
    file.offset = in.le64();
  }
  for (std::uint32_t n = in.le32(); n > 0; --n) topics.kept.push_back(in.le64());
  return topics;
}

void put(ByteWriter& out, const TopicStep& topics) {
  out.le32(static_cast<std::uint32_t>(topics.next.size()));
  for (const auto& [topic, next] : topics.next) {
    out.sized(topic);
    out.le64(next);
  }
  out.le32(static_cast<std::uint32_t>(topics.open.size()));
  for (const OpenFileId& file : topics.open) {
    out.sized(file.topic);
    out.le64(file.offset);
  }
  out.le32(static_cast<std::uint32_t>(topics.kept.size()));
  for (const std::uint64_t number : topics.kept) out.le64(number);
}

SmallObjects read_small(ByteReader& in) {
  SmallObjects small;
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    SmallGroup& group = small[text(in)];
    group.table = text(in);
    group.version = in.le32();
    for (std::uint32_t k = in.le32(); k > 0; --k) group.key.push_back(text(in));
    for (std::uint32_t k = in.le32(); k > 0; --k) {
      SmallObject& object = group.objects.emplace_back();
      object.path = text(in);
      object.first = position(in);
      object.last = position(in);
      object.rows = in.le64();
      object.bytes = in.le64();
      object.level = in.le32();
    }
  }
  return small;
}

void put(ByteWriter& out, const SmallObjects& small) {
  out.le32(static_cast<std::uint32_t>(small.size()));
  for (const auto& [name, group] : small) {
    out.sized(name);
    out.sized(group.table);
    out.le32(group.version);
    out.le32(static_cast<std::uint32_t>(group.key.size()));
    for (const std::string& column : group.key) out.sized(column);
    out.le32(static_cast<std::uint32_t>(group.objects.size()));
    for (const SmallObject& object : group.objects) {
      out.sized(object.path);
      put(out, object.first);
      put(out, object.last);
      out.le64(object.rows);
      out.le64(object.bytes);
      out.le32(object.level);
    }
  }
}

void read_changes(ByteReader& in, sinks::StateChanges& changes) {
  for (std::uint32_t n = in.le32(); n > 0; --n) {
    std::string key = text(in);
    const bool there = in.u8() != 0;
    std::optional<std::string>& value = changes[std::move(key)];
    if (there) value = text(in);
  }
}

void put(ByteWriter& out, const sinks::StateChanges& changes) {
  out.le32(static_cast<std::uint32_t>(changes.size()));
  for (const auto& [key, value] : changes) {
    out.sized(key);
    out.u8(value ? 1 : 0);
    if (value) out.sized(*value);
  }
}

CommitRecord read_record(ByteReader& in, bool topics) {
  CommitRecord record;
  record.number = record.base = in.le64();
  if (topics) record.base = in.le64();
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
  if (!topics) return record;
  read_changes(in, record.changes);
  record.topics = read_topics(in);
  record.small = read_small(in);
  for (std::uint32_t n = in.le32(); n > 0; --n) record.replaced.push_back(text(in));
  return record;
}

}  // namespace

std::string open_rows_path(std::uint64_t number) { return fmt::format("_open/{:016x}", number); }

std::string encode(const CommitRecord& record) {
  std::string bytes(kMark);
  ByteWriter out(bytes);
  out.le64(record.number);
  out.le64(record.base);
  const bool whole = record.base == record.number;
  out.le32(whole ? static_cast<std::uint32_t>(record.state.size()) : 0);
  if (whole) {
    for (const auto& [key, value] : record.state) {
      out.sized(key);
      out.sized(value);
    }
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
  put(out, whole ? sinks::StateChanges() : record.changes);
  put(out, record.topics);
  put(out, record.small);
  out.le32(static_cast<std::uint32_t>(record.replaced.size()));
  for (const std::string& path : record.replaced) out.sized(path);
  out.le32(crc32c(bytes));
  return bytes;
}

CommitRecord decode(std::string_view bytes) {
  const bool topics = bytes.starts_with(kMark);
  if ((!topics && !bytes.starts_with(kFirstMark)) || bytes.size() < kMark.size() + 4) unreadable();
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (ByteReader(bytes.substr(body.size())).le32() != crc32c(body)) unreadable();
  try {
    ByteReader in(body.substr(kMark.size()));
    return read_record(in, topics);
  } catch (const OutOfBytes&) {
    unreadable();
  }
}

void apply_changes(const sinks::StateChanges& changes, sinks::StateMap& state) {
  for (const auto& [key, value] : changes) {
    if (value) {
      state[key] = *value;
    } else {
      state.erase(key);
    }
  }
}

std::string manifest_of(const CommitRecord& record) {
  std::string out;
  const auto add = [&out](const char* format, const auto&... values) {
    fmt::format_to(std::back_inserter(out), fmt::runtime(format), values...);
  };
  const auto add_texts = [&out](const std::vector<std::string>& texts) {
    for (std::size_t n = 0; n < texts.size(); ++n) {
      if (n > 0) out += ',';
      formats::append_json_string(texts[n], out);
    }
  };
  add("{{\"commit\":{},\"emptied\":[", record.number);
  add_texts(record.emptied);
  out += "],\"replaced\":[";
  add_texts(record.replaced);
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
