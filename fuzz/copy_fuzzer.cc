#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "model/tuple.h"
#include "sources/postgres/copy_text.h"

/// The first byte is the number of columns; the rest are lines, as COPY sends them. What comes out is a whole tuple
/// inside of the room asked for, the same by way of files, or the line is refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint16_t columns = data[0] % 32;
  const tailrace::postgres::CopyTextDecoder decoder(columns);
  tailrace::ByteView rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const std::size_t length = std::min(rest.size(), rest.find('\n') + 1 == 0 ? rest.size() : rest.find('\n') + 1);
    // A copy of its own, so that a step past the line's end is seen.
    const std::string line(rest.substr(0, length));
    rest.remove_prefix(length);
    std::string out(decoder.most_bytes(line.size()), '\0');
    try {
      const char* end = decoder.decode(line, out.data());
      const tailrace::ByteView tuple(out.data(), static_cast<std::size_t>(end - out.data()));
      tailrace::ByteReader reader(tuple);
      if (tailrace::measure_tuple(reader).size() != columns || !reader.empty()) __builtin_trap();
      std::string other(decoder.most_bytes(line.size()), '\0');
      const char* other_end = decoder.decode_long(line, other.data());
      if (tailrace::ByteView(other.data(), static_cast<std::size_t>(other_end - other.data())) != tuple)
        __builtin_trap();
    } catch (const tailrace::BadDataError&) {
    }
  }
  return 0;
}
