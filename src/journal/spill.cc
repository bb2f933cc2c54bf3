#include "journal/spill.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/crash_point.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file_bytes.h"
#include "base/let_go.h"
#include "base/log.h"
#include "journal/format.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

constexpr std::size_t kFirstBlock = 16 << 10;
/// Longer ones are not held in memory until they are whole.
constexpr std::size_t kLongRecord = 4 * kChunk;
/// The file doubles, from the first size on, in steps of at most the second. It is synced after as much.
constexpr std::uint64_t kFirstStep = 1ULL << 20;
constexpr std::uint64_t kFileStep = 32ULL << 20;

}  // namespace

SpillStore::SpillStore(Setting setting, ChunkPool& chunks, Space& space)
    : setting_(std::move(setting)), chunks_(chunks), space_(space) {}

std::unique_ptr<StoredSpill> SpillStore::open() { return std::make_unique<StoredSpill>(*this); }

void SpillStore::make_room(std::uint64_t bytes) {
  while (memory_ + bytes > setting_.memory) {
    const auto largest = std::ranges::max_element(open_, {}, &StoredSpill::memory_bytes);
    if (largest == open_.end() || (*largest)->memory_bytes() <= kFirstBlock) return;
    (*largest)->write_out(kFirstBlock);
  }
}

StoredSpill::StoredSpill(SpillStore& store) : store_(store), next_block_(kFirstBlock) {
  store_.open_.push_back(this);
  ++store_.count_;
}

StoredSpill::~StoredSpill() {
  std::erase(store_.open_, this);
  --store_.count_;
  store_.memory_ -= memory_bytes();
  if (!file_) return;
  file_.reset();
  store_.space_.give_back(reserved_);
  store_.disk_bytes_ -= reserved_;
  try {
    store_.setting_.files.remove(path_);
  } catch (const Error& error) {
    log::warn("journal.spill", "{}; the next start removes it", error.what());
  }
}

std::uint64_t StoredSpill::memory_bytes() const {
  std::uint64_t total = 0;
  for (const Block& block : blocks_) total += block.memory->size;
  return total;
}

void StoredSpill::append(Xid sub_xid, ByteView message) {
  const std::size_t need = sizeof(SpillRecord) + message.size();
  const std::uint64_t changes = pgoutput::ordinals_of(message);
  const SpillRecord header{sub_xid.value(), static_cast<std::uint32_t>(message.size())};
  if (need > kLongRecord) {
    append_long(header, message);
  } else {
    // Everything that can fail comes before the first byte is taken.
    if (file_ && stream_bytes_ - written_ >= kChunk) write_out(kChunk);
    const std::size_t room = blocks_.empty() ? 0 : blocks_.back().memory->size - blocks_.back().used;
    if (room < need) store_.make_room(need);
    put(record_bytes(header));
    put(message);
  }
  if (message.front() == 'R') relations_.push_back({stream_bytes_, sub_xid.value(), std::string(message)});
  stream_bytes_ += need;
  totals_.changes += changes;
  if (message.front() != 'R' && message.front() != 'Y') totals_.bytes += message.size();
}

void StoredSpill::append_long(const SpillRecord& header, ByteView message) {
  const std::size_t whole = sizeof(header) + message.size();
  if (long_taken_ == 0) {
    write_out(kChunk);
    grow_file(align_up(stream_bytes_ + whole, kBlock));
    store_.make_room(2 * kChunk);
    put(record_bytes(header));
    long_taken_ = sizeof(header);
  }
  const bool is_long = message.size() >= long_bytes();
  while (long_taken_ < whole) {
    write_out(kChunk);
    const ByteView piece = message.substr(long_taken_ - sizeof(header), kChunk);
    put(piece);
    if (is_long) let_go(piece);
    long_taken_ += piece.size();
  }
  long_taken_ = 0;
}

void StoredSpill::add_block() {
  Block block;
  block.memory = next_block_ == kChunk ? store_.chunks_.take() : std::make_shared<Chunk>(next_block_);
  store_.memory_ += block.memory->size;
  blocks_.push_back(std::move(block));
  next_block_ = std::min(next_block_ * 2, kChunk);
}

void StoredSpill::put(ByteView bytes) {
  while (!bytes.empty()) {
    if (blocks_.empty() || blocks_.back().used == blocks_.back().memory->size) add_block();
    Block& block = blocks_.back();
    const std::size_t n = std::min(bytes.size(), block.memory->size - block.used);
    std::memcpy(block.memory->data + block.used, bytes.data(), n);
    block.used += n;
    bytes.remove_prefix(n);
  }
}

void StoredSpill::open_file() {
  path_ = store_.setting_.directory / fmt::format("{:010}.spill", store_.next_file_++);
  file_ = store_.setting_.files.create(path_, store_.setting_.direct);
}

void StoredSpill::grow_file(std::uint64_t to) {
  if (to <= reserved_) return;
  const std::uint64_t doubled = reserved_ + std::clamp(reserved_, kFirstStep, kFileStep);
  const std::uint64_t step = std::max(doubled, align_up(to, kFirstStep)) - reserved_;
  store_.space_.take(step);
  try {
    file_->allocate(reserved_ + step);
  } catch (const RetryError&) {
    store_.space_.give_back(step);
    throw;
  }
  reserved_ += step;
  store_.disk_bytes_ += step;
}

void StoredSpill::write_block(const Block& block, std::size_t size) {
  file_->write_at(written_, {block.memory->data, align_up(size, kBlock)});
  for (ByteView left(block.memory->data, size); !left.empty();) {
    const std::size_t n = std::min<std::size_t>(left.size(), kStreamBlock - written_ % kStreamBlock);
    crc_ = crc32c(left.substr(0, n), crc_);
    left.remove_prefix(n);
    written_ += n;
    if (written_ % kStreamBlock == 0) block_crcs_.push_back(std::exchange(crc_, 0));
  }
}

void StoredSpill::write_out(std::size_t next_block) {
  if (!file_) open_file();
  grow_file(align_up(stream_bytes_, kBlock));
  while (!blocks_.empty()) {
    const Block& block = blocks_.front();
    const std::size_t full = align_down(block.used, kBlock);
    if (full > 0) write_block(block, full);
    const ByteView rest(block.memory->data + full, block.used - full);
    const Block done = std::move(blocks_.front());
    blocks_.erase(blocks_.begin());
    store_.memory_ -= done.memory->size;
    next_block_ = next_block;
    if (rest.empty()) continue;
    // Only the last block is not full.
    put(rest);
    break;
  }
  if (written_ - synced_ >= kFileStep) {
    file_->sync();
    synced_ = written_;
  }
}

RecordStream StoredSpill::stream() {
  if (!file_) {
    return RecordStream(
        [this, at = std::size_t{0}]() mutable -> Piece {
          if (at == blocks_.size()) return {};
          const Block& block = blocks_[at++];
          return {{block.memory->data, block.used}, block.memory};
        },
        stream_bytes_, store_.setting_.directory);
  }
  return RecordStream(
      [this, at = std::uint64_t{0}, block = std::size_t{0}]() mutable -> Piece {
        if (at < written_) {
          const std::size_t size = std::min<std::uint64_t>(written_ - at, kChunk);
          ChunkPtr chunk = store_.chunks_.take();
          const std::size_t got = file_->read_at(at, chunk->data, align_up(size, kBlock));
          at += size;
          return {{chunk->data, std::min(got, size)}, std::move(chunk)};
        }
        if (block == blocks_.size()) return {};
        const Block& memory = blocks_[block++];
        return {{memory.memory->data, memory.used}, memory.memory};
      },
      stream_bytes_, store_.setting_.directory);
}

void StoredSpill::for_each(const std::function<void(ByteView, std::uint64_t)>& use) {
  RecordStream records = stream();
  RecordStream::Record record;
  while (records.next(record))
    if (!aborted_.contains(record.sub_xid.value()) && record.message.front() != 'Y') use(record.message, record.offset);
}

StoredSpill::Counts StoredSpill::counts() {
  if (aborted_.empty()) return totals_;
  Counts surviving;
  for_each([&](ByteView message, std::uint64_t) {
    if (message.front() == 'R') return;
    surviving.changes += pgoutput::ordinals_of(message);
    surviving.bytes += message.size();
  });
  return surviving;
}

std::vector<StoredSpill::RelationMessage> StoredSpill::relations() const {
  std::vector<RelationMessage> surviving;
  for (const RelationMessage& relation : relations_)
    if (!aborted_.contains(relation.sub_xid)) surviving.push_back(relation);
  return surviving;
}

AdoptRecord StoredSpill::finish(std::vector<Footer::RelationAt> relations) {
  write_out(kFirstBlock);
  Footer footer;
  footer.aborted = aborted_;
  footer.relations = std::move(relations);
  footer.block_crcs = block_crcs_;
  if (!blocks_.empty()) {
    const Block& rest = blocks_.front();
    std::memset(rest.memory->data + rest.used, 0, kBlock - rest.used);
    file_->write_at(written_, {rest.memory->data, kBlock});
    footer.block_crcs.push_back(crc32c({rest.memory->data, rest.used}, crc_));
  } else if (stream_bytes_ % kStreamBlock != 0) {
    footer.block_crcs.push_back(crc_);
  }

  const std::string bytes = footer.encode();
  const Chunk memory(align_up(bytes.size(), kBlock));
  std::memset(memory.data, 0, memory.size);
  std::memcpy(memory.data, bytes.data(), bytes.size());
  const std::uint64_t footer_at = align_up(stream_bytes_, kBlock);
  grow_file(footer_at + memory.size);
  file_->write_at(footer_at, {memory.data, memory.size});
  file_->truncate(footer_at + memory.size);
  TAILRACE_CRASH_POINT("spill.footer");
  file_->sync();
  TAILRACE_CRASH_POINT("spill.durable");

  AdoptRecord record;
  record.stream_bytes = stream_bytes_;
  record.footer_bytes = static_cast<std::uint32_t>(bytes.size());
  record.footer_crc = crc32c(bytes);
  return record;
}

std::uint64_t StoredSpill::release() {
  const std::uint64_t size = file_->size();
  file_.reset();
  store_.space_.give_back(reserved_ - size);
  store_.disk_bytes_ -= reserved_;
  return size;
}

}  // namespace tailrace::journal
