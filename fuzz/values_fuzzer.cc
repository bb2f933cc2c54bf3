#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/value_text.h"

namespace tailrace::formats {
namespace {

/// Every reader of PostgreSQL's text forms, on the same text.
void read_scalars(ByteView text) {
  bool truth;
  std::int64_t number;
  std::int32_t small;
  float single;
  double real;
  Int128 wide;
  unsigned __int128 uuid;
  IntervalValue interval;
  parse_bool(text, truth);
  parse_int(text, number);
  parse_float(text, single);
  parse_double(text, real);
  for (const int scale : {0, 2, 38}) parse_decimal(text, 38, scale, wide);
  parse_decimal(text, 4, 2, wide);
  parse_uuid(text, uuid);
  parse_date(text, small);
  parse_time(text, number);
  parse_timetz(text, number, small);
  parse_timestamp(text, number);
  parse_interval(text, interval);
  valid_utf8(text);
  std::size_t size = 0;
  if (bytea_size(text, size)) {
    std::string bytes(size, '\0');
    decode_bytea(text, bytes.data());
  }
}

void read_array(ByteView text) {
  ArrayReader reader(text);
  if (!reader.open()) return;
  ByteView value;
  std::vector<char> scratch;
  while (true) {
    const auto step = reader.next(value, scratch);
    if (step == ArrayReader::Step::kEnd || step == ArrayReader::Step::kRefused) return;
    if (step == ArrayReader::Step::kValue) read_scalars(value);
  }
}

}  // namespace
}  // namespace tailrace::formats

/// A value's text is read or refused, whatever it is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // On the heap and exactly as long, so that a step past the end is seen.
  const std::vector<char> text(data, data + size);
  tailrace::formats::read_scalars({text.data(), text.size()});
  tailrace::formats::read_array({text.data(), text.size()});
  return 0;
}
