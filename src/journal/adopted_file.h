#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "journal/chunk.h"
#include "journal/file.h"
#include "journal/frame.h"
#include "journal/record_stream.h"

namespace tailrace::journal {

/// What stands behind the messages of an adopted file, so that it can be decoded alone.
struct Footer {
  /// CRC-32C of each kStreamBlock bytes of the stream.
  std::vector<std::uint32_t> block_crcs;
  std::unordered_set<std::uint32_t> aborted;
  /// For each R message that survives and says something new: its record's offset, and the complete Relation.
  struct RelationAt {
    std::uint64_t offset = 0;
    std::string encoded;
  };
  std::vector<RelationAt> relations;

  std::string encode() const;
  /// Throws OutOfBytes.
  static Footer decode(ByteView bytes);
};

/// A streamed transaction's file, taken into the journal by an ADOPT frame; open for reading its surviving messages in
/// order. Every byte it gives has passed its CRC. Owned by one reader; one thread.
class AdoptedFile {
 public:
  /// Throws CorruptionError when the file is missing or damaged.
  AdoptedFile(Files& files, const std::filesystem::path& directory, std::uint64_t segment, const AdoptRecord& record,
              bool direct, ChunkPool& chunks);

  /// A change message, or the encoded Relation of an R.
  struct Message {
    bool is_relation = false;
    ByteView bytes;
  };
  bool next(Message& out);
  const std::shared_ptr<const void>& pin() const { return stream_->pin(); }

 private:
  Piece next_block();
  [[noreturn]] void damaged(std::uint64_t offset) const;

  std::unique_ptr<File> file_;
  std::string name_;
  AdoptRecord record_;
  ChunkPool& chunks_;
  Footer footer_;
  std::size_t next_relation_ = 0;
  std::uint64_t read_ = 0;
  std::unique_ptr<RecordStream> stream_;
};

}  // namespace tailrace::journal
