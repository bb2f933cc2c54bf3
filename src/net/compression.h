#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tailrace::net {

/// How the body of a request is packed.
enum class Compression : std::uint8_t { kNone, kLz4, kZstd };

/// Its name in `Content-Encoding`; null: the header is left out.
const char* encoding_of(Compression compression);

/// Packs bodies of requests, each by itself. Owned by a connection, used by its thread.
class BodyPacker {
 public:
  explicit BodyPacker(Compression compression);
  ~BodyPacker();
  BodyPacker(const BodyPacker&) = delete;
  BodyPacker& operator=(const BodyPacker&) = delete;

  /// The packed body; it lives until the next call, or as long as `body` where nothing is packed.
  std::string_view pack(std::string_view body);

 private:
  struct Zstd;

  const Compression compression_;
  std::unique_ptr<Zstd> zstd_;
  std::string packed_;
};

}  // namespace tailrace::net
