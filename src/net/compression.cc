#include "net/compression.h"

#include <lz4frame.h>
#include <zstd.h>

#include <new>

#include "base/error.h"

namespace tailrace::net {
namespace {

/// The one that costs the least; what more would be saved is little on rows.
constexpr int kZstdLevel = 1;

}  // namespace

struct BodyPacker::Zstd {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  Zstd() {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~Zstd() { ZSTD_freeCCtx(context); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
};

const char* encoding_of(Compression compression) {
  switch (compression) {
    case Compression::kNone: return nullptr;
    case Compression::kLz4: return "lz4";
    case Compression::kZstd: return "zstd";
  }
  return nullptr;
}

BodyPacker::BodyPacker(Compression compression)
    : compression_(compression), zstd_(compression == Compression::kZstd ? std::make_unique<Zstd>() : nullptr) {}
BodyPacker::~BodyPacker() = default;

std::string_view BodyPacker::pack(std::string_view body) {
  if (compression_ == Compression::kNone) return body;
  if (compression_ == Compression::kZstd) {
    packed_.resize(ZSTD_compressBound(body.size()));
    const std::size_t size =
        ZSTD_compressCCtx(zstd_->context, packed_.data(), packed_.size(), body.data(), body.size(), kZstdLevel);
    if (ZSTD_isError(size) != 0) throw DefectError("a body cannot be packed with zstd");
    return std::string_view(packed_).substr(0, size);
  }
  packed_.resize(LZ4F_compressFrameBound(body.size(), nullptr));
  const std::size_t size = LZ4F_compressFrame(packed_.data(), packed_.size(), body.data(), body.size(), nullptr);
  if (LZ4F_isError(size) != 0) throw DefectError("a body cannot be packed with lz4");
  return std::string_view(packed_).substr(0, size);
}

}  // namespace tailrace::net
