#include "journal/adopted_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/error.h"

namespace tailrace::journal {

std::string Footer::encode() const {
  std::string bytes(kFooterMagic);
  ByteWriter out(bytes);
  out.le32(kFormatVersion);
  out.le32(static_cast<std::uint32_t>(block_crcs.size()));
  for (const std::uint32_t crc : block_crcs) out.le32(crc);
  out.le32(static_cast<std::uint32_t>(aborted.size()));
  for (const std::uint32_t xid : aborted) out.le32(xid);
  out.le32(static_cast<std::uint32_t>(relations.size()));
  for (const RelationAt& relation : relations) {
    out.le64(relation.offset);
    out.sized(relation.encoded);
  }
  return bytes;
}

Footer Footer::decode(ByteView bytes) {
  ByteReader in(bytes);
  Footer footer;
  if (in.bytes(kFooterMagic.size()) != kFooterMagic || in.le32() != kFormatVersion) throw OutOfBytes();
  const auto counted = [&in](std::size_t entry_bytes) {
    const std::size_t count = in.le32();
    if (count > in.left() / entry_bytes) throw OutOfBytes();
    return count;
  };
  footer.block_crcs.resize(counted(4));
  for (std::uint32_t& crc : footer.block_crcs) crc = in.le32();
  for (std::size_t n = counted(4); n > 0; --n) footer.aborted.insert(in.le32());
  for (std::size_t n = counted(12); n > 0; --n) {
    const std::uint64_t offset = in.le64();
    footer.relations.push_back({offset, std::string(in.bytes(in.le32()))});
  }
  if (!in.empty()) throw OutOfBytes();
  return footer;
}

AdoptedFile::AdoptedFile(Files& files, const std::filesystem::path& directory, std::uint64_t segment,
                         const AdoptRecord& record, bool direct, ChunkPool& chunks)
    : name_(adopted_name(segment, record.file_number)), record_(record), chunks_(chunks) {
  file_ = files.open_to_read(directory / name_, direct);
  const std::uint64_t footer_at = align_up(record.stream_bytes, kBlock);
  const Chunk memory(align_up(std::max<std::size_t>(record.footer_bytes, 1), kBlock));
  const std::size_t got = file_->read_at(footer_at, memory.data, memory.size);
  const ByteView footer(memory.data, std::min<std::size_t>(got, record.footer_bytes));
  if (footer.size() != record.footer_bytes || crc32c(footer) != record.footer_crc) damaged(footer_at);
  try {
    footer_ = Footer::decode(footer);
  } catch (const OutOfBytes&) {
    damaged(footer_at);
  }
  if (footer_.block_crcs.size() != align_up(record.stream_bytes, kStreamBlock) / kStreamBlock) damaged(footer_at);
  stream_ = std::make_unique<RecordStream>([this] { return next_block(); }, record.stream_bytes, directory);
}

void AdoptedFile::damaged(std::uint64_t offset) const {
  throw CorruptionError("TR401", fmt::format("the journal is damaged: {} at offset {}", name_, offset),
                        "nothing was changed. `tailrace journal verify` lists the damage; restore the journal's "
                        "directory from a copy, or remove it and let the tables be copied again");
}

Piece AdoptedFile::next_block() {
  const std::uint64_t left = record_.stream_bytes - read_;
  const std::size_t size = std::min<std::uint64_t>(left, kStreamBlock);
  if (size == 0) return {};
  ChunkPtr chunk = chunks_.take();
  const std::size_t got = file_->read_at(read_, chunk->data, align_up(size, kBlock));
  const ByteView bytes(chunk->data, std::min(got, size));
  if (bytes.size() != size || crc32c(bytes) != footer_.block_crcs[read_ / kStreamBlock]) damaged(read_);
  read_ += size;
  return {bytes, std::move(chunk)};
}

bool AdoptedFile::next(Message& out) {
  RecordStream::Record record;
  try {
    while (stream_->next(record)) {
      if (record.message.empty()) damaged(record.offset);
      if (footer_.aborted.contains(record.sub_xid.value())) continue;
      const char type = record.message.front();
      if (type == 'Y') continue;
      out.is_relation = type == 'R';
      out.bytes = record.message;
      if (!out.is_relation) return true;
      if (next_relation_ == footer_.relations.size() || footer_.relations[next_relation_].offset != record.offset)
        continue;  // It repeats what was said before.
      out.bytes = footer_.relations[next_relation_++].encoded;
      return true;
    }
    return false;
  } catch (const OutOfBytes&) {
    damaged(record.offset);
  }
}

}  // namespace tailrace::journal
