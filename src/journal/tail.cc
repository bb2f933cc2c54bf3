#include "journal/tail.h"

#include <algorithm>

namespace tailrace::journal {

void Tail::add_segment(const SegmentInfo& segment, std::uint64_t previous_end) {
  std::lock_guard lock(mutex_);
  if (!segments_.empty()) segments_.back().end = previous_end;
  segments_.push_back(segment);
  published_.notify_all();
}

void Tail::publish(const ChunkSpan& span, const LogState& state) {
  std::lock_guard lock(mutex_);
  segments_.back().end = span.end;
  durable_ = state;
  if (!ring_.empty() && ring_.back().chunk == span.chunk) {
    ring_.back().end = span.end;
  } else {
    if (ring_.size() == ring_chunks_) ring_.pop_front();
    ring_.push_back(span);
  }
  published_.notify_all();
}

void Tail::set_durable(const LogState& state) {
  std::lock_guard lock(mutex_);
  durable_ = state;
}

void Tail::extend(std::uint64_t end, const LogState& state) {
  std::lock_guard lock(mutex_);
  segments_.back().end = end;
  durable_ = state;
  published_.notify_all();
}

void Tail::shrink(std::uint64_t segment, std::uint64_t file_bytes) {
  std::lock_guard lock(mutex_);
  for (auto& info : segments_)
    if (info.record.number == segment) info.file_bytes = file_bytes;
}

void Tail::count_adopted(std::uint64_t segment, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  for (auto& info : segments_) {
    if (info.record.number != segment) continue;
    info.adopted_bytes += bytes;
    ++info.adopted_files;
  }
}

Tail::Look Tail::look(Place place) const {
  std::lock_guard lock(mutex_);
  if (segments_.empty() || place.segment < segments_.front().record.number) return {Look::Kind::kGone, {}, {}, 0};
  const std::size_t index = place.segment - segments_.front().record.number;
  if (index >= segments_.size()) return {};
  const std::uint64_t end = segments_[index].end;
  if (place.offset >= end) {
    const bool last = index + 1 == segments_.size();
    return {last ? Look::Kind::kNothingYet : Look::Kind::kNextSegment, {}, {}, 0};
  }
  for (auto it = ring_.rbegin(); it != ring_.rend(); ++it) {
    if (it->segment != place.segment || place.offset < it->begin || place.offset >= it->end) continue;
    const ByteView bytes(it->chunk->data + (place.offset - it->base), it->end - place.offset);
    return {Look::Kind::kMemory, it->chunk, bytes, it->end};
  }
  return {Look::Kind::kDisk, {}, {}, end};
}

bool Tail::wait_behind(Place place, std::stop_token stop, SteadyClock::time_point deadline) const {
  std::unique_lock lock(mutex_);
  return published_.wait_until(lock, stop, deadline, [&] {
    if (segments_.empty()) return false;
    const auto& last = segments_.back();
    return Place{last.record.number, last.end} > place && last.record.number >= place.segment;
  });
}

std::size_t Tail::first_needed(const Position& from) const {
  const auto behind =
      std::ranges::upper_bound(segments_, from, {}, [](const SegmentInfo& s) { return state_of(s.record).end; });
  const std::uint64_t first = segments_.front().record.number;
  if (behind == segments_.begin()) return 0;
  const std::uint64_t open_from = std::prev(behind)->record.open_from;
  return open_from < first ? 0 : open_from - first;
}

std::optional<Place> Tail::find(const std::optional<Position>& from) const {
  const Position start_position = start().end;
  std::lock_guard lock(mutex_);
  if (from && *from < start_position) return std::nullopt;
  return Place{segments_[first_needed(from.value_or(start_position))].record.number, kFirstFrame};
}

LogState Tail::start() const {
  std::lock_guard lock(mutex_);
  const std::uint64_t first = segments_.front().record.number;
  for (const auto& segment : segments_)
    if (segment.record.open_from >= first) return state_of(segment.record);
  return durable_;
}

LogState Tail::durable() const {
  std::lock_guard lock(mutex_);
  return durable_;
}

std::vector<SegmentInfo> Tail::segments() const {
  std::lock_guard lock(mutex_);
  return {segments_.begin(), segments_.end()};
}

std::vector<SegmentInfo> Tail::drop(const Position& oldest_needed, PgTime finished_before, std::uint64_t at_least) {
  std::lock_guard lock(mutex_);
  std::vector<SegmentInfo> dropped;
  if (segments_.empty()) return dropped;
  std::uint64_t bytes = 0;
  for (std::size_t count = first_needed(oldest_needed); count > 0; --count) {
    // A segment was finished when the next one was made.
    if (bytes >= at_least && PgTime(segments_[1].record.created) > finished_before) break;
    dropped.push_back(segments_.front());
    bytes += segments_.front().file_bytes + segments_.front().adopted_bytes;
    segments_.pop_front();
  }
  return dropped;
}

}  // namespace tailrace::journal
