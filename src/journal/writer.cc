#include "journal/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"

namespace tailrace::journal {
namespace {

/// Beyond that we sync by ourselves, so that memory stays bounded whatever the caller does.
constexpr std::size_t kMaxUnsyncedChunks = 8;

std::uint64_t random_salt() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

}  // namespace

void Writer::check() const {
  if (failed_) {
    throw CorruptionError("TR402", "the journal's disk failed before; nothing more is written to it",
                          "start again: the journal goes on from what was durable before");
  }
}

void Writer::start(std::uint64_t number, std::uint64_t previous_end) {
  durable_ = ledger_.state;
  space_.count(setting_.segment_bytes);
  continue_in(begin_segment(number, previous_end, ledger_.state));
  tail_.set_durable(durable_);
}

void Writer::resume(const SegmentRecord& record, std::uint64_t end) {
  file_ = setting_.files.open(setting_.directory / segment_name(record.number), setting_.direct);
  // What a dead process wrote may still be on its way to the disk.
  file_->sync();
  record_ = record;
  seed_ = crc_seed(record.salt);
  chunk_ = chunks_.take();
  base_ = align_down(end, kBlock);
  if (end > base_ && file_->read_at(base_, chunk_->data, kBlock) != kBlock)
    throw CorruptionError("TR402", fmt::format("{} became shorter", segment_name(record.number)), "start again");
  begin_ = closed_ = at_ = written_ = synced_ = end;
  durable_ = ledger_.state;
}

void Writer::close_data() {
  if (!data_open_) return;
  data_open_ = false;
  room_ = 0;
  const std::uint64_t payload = at_ - closed_ - kFrameHeader;
  seal_frame(closed_, payload, FrameType::kData, data_starts_);
}

void Writer::seal_frame(std::uint64_t begin, std::uint64_t payload_bytes, FrameType type, bool starts_transaction) {
  FrameHeader header;
  header.length = static_cast<std::uint32_t>(payload_bytes);
  header.synced_to = static_cast<std::uint32_t>(synced_);
  header.type = static_cast<std::uint8_t>(type);
  header.flags = starts_transaction ? kStartsTransaction : 0;
  header.crc = frame_crc(seed_, begin, header, {memory(begin + kFrameHeader), static_cast<std::size_t>(payload_bytes)});
  std::memcpy(memory(begin), &header, sizeof(header));
  const std::uint64_t end = begin + frame_bytes(payload_bytes);
  const std::uint64_t used = begin + kFrameHeader + payload_bytes;
  std::memset(memory(used), 0, end - used);
  closed_ = at_ = end;
}

void Writer::make_room(std::size_t bytes) {
  close_data();
  if (closed_ + bytes > setting_.segment_bytes) roll();
  if (closed_ + bytes > base_ + kChunk) next_chunk();
}

void Writer::reserve(std::size_t payload_bytes) {
  check();
  make_room(frame_bytes(payload_bytes));
}

void Writer::begin_data(std::size_t message_bytes, bool starts_transaction) {
  const std::size_t need = sizeof(std::uint32_t) + message_bytes;
  reserve(need);
  const std::uint64_t left = std::min(base_ + kChunk, setting_.segment_bytes) - closed_ - kFrameHeader;
  room_ = std::max<std::size_t>(need, std::min<std::uint64_t>(kDataPayload, align_down(left, kFrameAlignment)));
  data_open_ = true;
  data_starts_ = starts_transaction;
  at_ = closed_ + kFrameHeader;
}

void Writer::frame(FrameType type, bool starts_transaction, std::initializer_list<ByteView> parts) {
  std::size_t payload = 0;
  for (const ByteView part : parts) payload += part.size();
  if (payload > kMaxPayload) throw DefectError(fmt::format("a frame of {} bytes", payload));
  reserve(payload);
  char* to = memory(closed_ + kFrameHeader);
  for (const ByteView part : parts) {
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  seal_frame(closed_, payload, type, starts_transaction);
}

void Writer::next_chunk() {
  write_out();
  if (full_.size() == kMaxUnsyncedChunks) sync();
  full_.push_back(span());
  const ChunkPtr old = chunk_;
  const std::uint64_t old_base = base_;
  chunk_ = chunks_.take();
  base_ = align_down(closed_, kBlock);
  // The block that both share is written again with what it holds already.
  std::memcpy(chunk_->data, old->data + (base_ - old_base), closed_ - base_);
  begin_ = closed_;
}

void Writer::write_out() {
  if (closed_ == written_) return;
  TAILRACE_CRASH_POINT("journal.before_write");
  const std::uint64_t from = align_down(written_, kBlock);
  const std::uint64_t to = align_up(closed_, kBlock);
  std::memset(memory(closed_), 0, to - closed_);
  try {
    file_->write_at(from, {memory(from), static_cast<std::size_t>(to - from)});
  } catch (const CorruptionError&) {
    give_up();
    throw;
  }
  written_ = closed_;
}

void Writer::sync_file() {
  TAILRACE_CRASH_POINT("journal.after_write_before_sync");
  try {
    file_->sync();
  } catch (const Error& error) {
    give_up();
    throw CorruptionError("TR402", error.what(),
                          "check the disk and the kernel's log, then start again: the journal goes on from what was "
                          "durable before");
  }
  TAILRACE_CRASH_POINT("journal.after_sync");
  ++syncs_;
  synced_bytes_ += closed_ - synced_;
  synced_ = closed_;
  durable_ = ledger_.state;
}

void Writer::sync() {
  check();
  close_data();
  if (closed_ == synced_) return;
  write_out();
  sync_file();
  for (const ChunkSpan& span : full_) tail_.publish(span, durable_);
  full_.clear();
  tail_.publish(span(), durable_);
}

void Writer::roll() {
  sync();
  TAILRACE_CRASH_POINT("journal.roll.old_synced");
  space_.take(setting_.segment_bytes);
  try {
    continue_in(begin_segment(record_.number + 1, closed_, ledger_.state));
  } catch (const RetryError&) {
    space_.give_back(setting_.segment_bytes);
    throw;
  } catch (const CorruptionError&) {
    failed_ = true;
    throw;
  }
}

Writer::Begun Writer::begin_segment(std::uint64_t number, std::uint64_t previous_end, const LogState& state) {
  const auto name = setting_.directory / segment_name(number);
  const std::filesystem::path fresh = name.string() + ".new";
  Begun begun;
  begun.record = make_segment_record(state);
  begun.record.number = number;
  begun.record.salt = random_salt();
  begun.record.previous_end = previous_end;
  begun.record.open_from = ledger_.open_from.value_or(number);
  begun.record.created = PgTime::now().micros();
  begun.record.size = setting_.segment_bytes;
  try {
    begun.file = setting_.files.create(fresh, setting_.direct);
    fill_segment(begun, fresh, state);
    setting_.files.rename(fresh, name);
    TAILRACE_CRASH_POINT("journal.roll.renamed");
    setting_.files.sync_directory(setting_.directory);
  } catch (const RetryError&) {
    setting_.files.remove(fresh);
    throw;
  }
  TAILRACE_CRASH_POINT("journal.roll.durable");
  return begun;
}

void Writer::fill_segment(Begun& begun, const std::filesystem::path& fresh, const LogState& state) {
  begun.file->allocate(setting_.segment_bytes);
  TAILRACE_CRASH_POINT("journal.roll.allocated");
  begun.chunk = chunks_.take();
  const std::string block = encode_segment_header(begun.record);
  std::memcpy(begun.chunk->data, block.data(), block.size());

  const std::string history = ledger_.history.encode(state.end);
  FrameHeader header;
  header.type = static_cast<std::uint8_t>(FrameType::kHistory);
  header.length = static_cast<std::uint32_t>(history.size());
  header.crc = frame_crc(crc_seed(begun.record.salt), kFirstFrame, header, history);
  begun.end = kFirstFrame + frame_bytes(history.size());
  char* to = begun.chunk->data + kFirstFrame;
  std::memset(to, 0, align_up(frame_bytes(history.size()), kBlock));
  std::memcpy(to, &header, sizeof(header));
  std::memcpy(to + kFrameHeader, history.data(), history.size());

  begun.file->write_at(0, {begun.chunk->data, align_up(begun.end, kBlock)});
  TAILRACE_CRASH_POINT("journal.roll.header_written");
  begun.file->sync();
  log::debug("journal.segment", "{} begun", fresh.filename().string());
}

void Writer::continue_in(Begun begun) {
  file_ = std::move(begun.file);
  record_ = begun.record;
  seed_ = crc_seed(record_.salt);
  chunk_ = std::move(begun.chunk);
  base_ = 0;
  begin_ = kFirstFrame;
  closed_ = at_ = written_ = synced_ = begun.end;
  SegmentInfo info;
  info.record = record_;
  info.end = closed_;
  info.file_bytes = setting_.segment_bytes;
  tail_.add_segment(info, record_.previous_end);
}

void Writer::give_up() {
  failed_ = true;
  space_.count(setting_.segment_bytes);
  try {
    begin_segment(record_.number + 1, synced_, durable_);
  } catch (const Error& error) {
    log::error("journal.failed", "no new segment could be begun after the failure: {}", error.what());
  }
}

}  // namespace tailrace::journal
