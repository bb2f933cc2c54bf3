#include "net/compression.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <zstd.h>

#include <string>

namespace tailrace::net {
namespace {

std::string unpacked_lz4(std::string_view packed, std::size_t size) {
  LZ4F_dctx* context = nullptr;
  LZ4F_createDecompressionContext(&context, LZ4F_VERSION);
  std::string out(size + 1, '\0');
  std::size_t read = 0;
  std::size_t wrote = 0;
  while (read < packed.size()) {
    std::size_t room = out.size() - wrote;
    std::size_t left = packed.size() - read;
    const std::size_t hint = LZ4F_decompress(context, out.data() + wrote, &room, packed.data() + read, &left, nullptr);
    read += left;
    wrote += room;
    if (hint == 0 || LZ4F_isError(hint) != 0) break;
  }
  LZ4F_freeDecompressionContext(context);
  out.resize(wrote);
  return out;
}

std::string unpacked_zstd(std::string_view packed, std::size_t size) {
  std::string out(size + 1, '\0');
  out.resize(ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size()));
  return out;
}

TEST(CompressionTest, WhatIsPackedIsUnpackedByTheLibrarysOwnReader) {
  BodyPacker lz4(Compression::kLz4);
  BodyPacker zstd(Compression::kZstd);
  for (const std::size_t rows : {0U, 1U, 1000U, 100'000U}) {
    std::string body;
    for (std::size_t n = 0; n < rows; ++n) body += "row " + std::to_string(n * 7919) + " of many\n";
    EXPECT_EQ(unpacked_lz4(lz4.pack(body), body.size()), body);
    EXPECT_EQ(unpacked_zstd(zstd.pack(body), body.size()), body);
    if (rows < 1000) continue;
    EXPECT_LT(lz4.pack(body).size(), body.size() / 2);
    EXPECT_LT(zstd.pack(body).size(), lz4.pack(body).size());
  }
}

TEST(CompressionTest, WithoutItABodyIsNotCopied) {
  const std::string body = "rows";
  EXPECT_EQ(BodyPacker(Compression::kNone).pack(body).data(), body.data());
  EXPECT_EQ(encoding_of(Compression::kNone), nullptr);
}

}  // namespace
}  // namespace tailrace::net
