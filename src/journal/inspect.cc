#include "journal/inspect.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "journal/adopted_file.h"
#include "journal/log_reader.h"
#include "journal/recovery.h"
#include "journal/segment_file.h"

namespace tailrace::journal {

class Inspector::State {
 public:
  explicit State(const std::filesystem::path& directory) : store{posix_files(), directory, true}, chunks(2), tail(0) {}

  const Store store;
  ChunkPool chunks;
  Tail tail;

  /// Another process may remove segments while their headers are read.
  std::vector<SegmentInfo> find() {
    for (;;) {
      const auto before = store.files.list(store.directory);
      try {
        return find_segments(store, chunks);
      } catch (const CorruptionError&) {
        if (store.files.list(store.directory) == before) throw;
      }
    }
  }

  /// Reads the last segment's frames from `offset` on, as far as they are valid.
  void extend(const SegmentInfo& last, std::uint64_t offset, LogState state) {
    SegmentFile file(store.files, store.directory, last.record.number, store.direct, chunks);
    Frame frame;
    while (file.read(offset, last.file_bytes, frame) == FrameCheck::kValid) {
      try {
        state = state_after(state, frame);
      } catch (const OutOfBytes&) {
        throw_damage(frame.place, "the frame is too short for its type");
      }
      offset = frame.end();
    }
    tail.extend(offset, state);
  }

  void verify_segment(const SegmentInfo& segment, bool last, Verified& result);
};

namespace {

Inspector::Damage damage_of(const Error& error, std::string file, std::uint64_t offset) {
  return {std::move(file), offset, error.what()};
}

}  // namespace

void Inspector::State::verify_segment(const SegmentInfo& segment, bool last, Verified& result) {
  const std::uint64_t number = segment.record.number;
  SegmentFile file(store.files, store.directory, number, store.direct, chunks);
  const std::uint64_t limit = last ? file.size() : segment.end;
  std::uint64_t offset = kFirstFrame;
  Frame frame;
  while (offset < limit && file.read(offset, limit, frame) == FrameCheck::kValid) {
    ++result.frames;
    offset = frame.end();
    if (frame.type != FrameType::kAdopt) continue;
    ByteView payload = frame.payload.substr(std::min(sizeof(UnitRecord), frame.payload.size()));
    if (payload.size() < sizeof(AdoptRecord)) {
      result.damages.push_back({file.name(), frame.place.offset, "the frame is too short for its type"});
      continue;
    }
    const auto adopt = take_record<AdoptRecord>(payload);
    try {
      AdoptedFile adopted(store.files, store.directory, number, adopt, store.direct, chunks);
      AdoptedFile::Message message;
      while (adopted.next(message)) {
      }
      ++result.adopted_files;
      result.bytes += adopt.stream_bytes + adopt.footer_bytes;
    } catch (const CorruptionError& error) {
      result.damages.push_back(damage_of(error, adopted_name(number, adopt.file_number), 0));
    }
  }
  ++result.segments;
  result.bytes += offset;
  if (last ? file.proof_of_damage(offset).has_value() : offset < limit)
    result.damages.push_back({file.name(), offset, "the checksum does not match"});
}

Inspector::Inspector(const std::filesystem::path& directory) : state_(std::make_unique<State>(directory)) {
  const auto found = state_->find();
  if (found.empty()) {
    throw BadConfigError("TR406", fmt::format("there is no journal in {}", directory.string()),
                         "give the directory that holds the .seg files");
  }
  for (const SegmentInfo& segment : found) state_->tail.add_segment(segment, segment.record.previous_end);
  state_->extend(found.back(), kFirstFrame, state_of(found.back().record));
}

Inspector::~Inspector() = default;

void Inspector::refresh() {
  const auto found = state_->find();
  const SegmentInfo known = state_->tail.segments().back();
  const LogState before = state_->tail.durable();
  for (const SegmentInfo& segment : found)
    if (segment.record.number > known.record.number) state_->tail.add_segment(segment, segment.record.previous_end);
  if (found.back().record.number == known.record.number) {
    state_->extend(found.back(), known.end, before);
  } else {
    state_->extend(found.back(), kFirstFrame, state_of(found.back().record));
  }
}

std::vector<Inspector::Segment> Inspector::segments() const {
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> adopted;
  for (const std::string& name : state_->store.files.list(state_->store.directory)) {
    const auto number = parse_adopted_name(name);
    if (!number) continue;
    auto& [files, bytes] = adopted[*number];
    ++files;
    std::error_code gone;
    const auto size = std::filesystem::file_size(state_->store.directory / name, gone);
    if (!gone) bytes += size;
  }
  std::vector<Segment> segments;
  for (const SegmentInfo& info : state_->tail.segments()) {
    Segment segment;
    segment.number = info.record.number;
    segment.name = segment_name(segment.number);
    segment.behind = state_of(info.record).end;
    segment.created = PgTime(info.record.created);
    segment.used_bytes = info.end;
    segment.file_bytes = info.file_bytes;
    segment.adopted_files = adopted[segment.number].first;
    segment.adopted_bytes = adopted[segment.number].second;
    segment.sealed = true;
    if (!segments.empty()) segments.back().last = segment.behind;
    segments.push_back(segment);
  }
  segments.back().sealed = false;
  segments.back().last = end().position;
  return segments;
}

Cursor Inspector::start() const { return state_->tail.start().cursor(); }
Cursor Inspector::end() const { return state_->tail.durable().cursor(); }

std::unique_ptr<Reader> Inspector::reader(const std::optional<Position>& from) {
  Cursor cursor = start();
  if (from) cursor.position = *from;
  const auto place = state_->tail.find(cursor.position);
  if (!place) {
    throw BadConfigError("TR405",
                         fmt::format("the journal begins at {}, behind {}", start().position.str(), from->str()),
                         "give a later position, or none");
  }
  return std::make_unique<LogReader>(state_->store, state_->tail, state_->chunks, cursor, *place);
}

Inspector::Verified Inspector::verify() {
  Verified result;
  const auto segments = state_->tail.segments();
  for (const SegmentInfo& segment : segments) {
    const bool last = segment.record.number == segments.back().record.number;
    try {
      state_->verify_segment(segment, last, result);
    } catch (const CorruptionError& error) {
      result.damages.push_back(damage_of(error, segment_name(segment.record.number), 0));
    }
  }
  return result;
}

}  // namespace tailrace::journal
