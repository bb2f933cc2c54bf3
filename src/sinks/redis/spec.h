#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/row_template.h"
#include "net/server_address.h"

namespace tailrace::redis {

/// What rows are at the target.
enum class Form : std::uint8_t {
  /// A hash for each row: fields are columns, values PostgreSQL's text; a column that is NULL has no field.
  kHash,
  /// A string for each row: a JSON object.
  kJson,
  /// Every change is an entry of a stream.
  kStream,
  /// A member for each row, with a column as its score.
  kSortedSet,
  /// Every change is published to who listens at that moment.
  kPublish,
};
const char* name_of(Form form);

struct Address : net::ServerAddress {
  std::uint32_t database = 0;

  /// "redis://host:6379/0", without secrets.
  std::string display() const;
};

/// "redis://[[user]:password@]host[:port][/database]", rediss:// for TLS. Throws BadConfigError TR820.
Address parse_url(const std::string& url);

struct RedisSpec {
  Address address;
  Form form = Form::kHash;
  /// Of hash, string, stream, set or channel.
  formats::RowTemplate key;
  /// kSortedSet: the member, and the column that is its score.
  formats::RowTemplate member;
  std::string score;
  /// kStream: about how many entries are kept; nothing: all.
  std::optional<std::uint64_t> max_length;
  std::string pipeline;
  /// Keys that are there already may be overwritten.
  bool overwrite = false;

  /// The key that holds cursor, counters and tables.
  std::string state_key() const { return "tailrace:state:" + pipeline + ":" + name_of(form) + ":" + key.text(); }
};

/// What `key` is when nothing is said.
std::string default_key(Form form);
/// Throws BadConfigError TR820 where the parts do not fit each other.
void check_spec(const RedisSpec& spec);

}  // namespace tailrace::redis
