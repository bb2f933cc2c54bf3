#include "journal/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "journal/segment_file.h"

namespace tailrace::journal {
namespace {

class Recovery {
 public:
  Recovery(const Options& options, const Store& store, ChunkPool& chunks, Space& space, Ledger& ledger)
      : options_(options), store_(store), chunks_(chunks), space_(space), ledger_(ledger) {}

  Recovered run() {
    // A process that died in a roll may have left a segment whose name is not durable yet.
    store_.files.sync_directory(store_.directory);
    empty_spills();
    take_segments();
    if (!result_.segments.empty()) scan_last();
    check_known_durable();
    if (!result_.segments.empty()) sort_adopted_files();
    return std::move(result_);
  }

 private:
  void empty_spills() {
    for (const std::string& name : store_.files.list(options_.spill_directory))
      if (name.ends_with(".spill")) store_.files.remove(options_.spill_directory / name);
  }

  void take_segments() {
    for (const std::string& name : store_.files.list(store_.directory))
      if (name.ends_with(".new")) store_.files.remove(store_.directory / name);
    result_.segments = find_segments(store_, chunks_);
    for (const SegmentInfo& segment : result_.segments) space_.count(segment.file_bytes);
  }

  void scan_last() {
    SegmentInfo& last = result_.segments.back();
    SegmentFile file(store_.files, store_.directory, last.record.number, store_.direct, chunks_);
    ledger_.state = state_of(last.record);
    std::uint64_t offset = kFirstFrame;
    Frame frame;
    while (file.read(offset, last.file_bytes, frame) == FrameCheck::kValid) {
      learn(frame);
      offset = frame.end();
    }
    if (const auto proof = file.proof_of_damage(offset)) {
      throw_damage({last.record.number, offset},
                   fmt::format("the checksum does not match, and the frame at {} tells that this was durable",
                               proof->place.offset));
    }
    result_.end = last.end = offset;
    result_.cut = file.anything_behind(offset);
    if (result_.cut)
      log::warn("journal.cut", "{}: what stands behind offset {} was never durable and is void", file.name(), offset);
  }

  void learn(const Frame& frame) {
    ByteView payload = frame.payload;
    try {
      if (frame.type == FrameType::kHistory) ledger_.history.decode(payload);
      ledger_.state = state_after(ledger_.state, frame);
      if (frame.type != FrameType::kCommit && frame.type != FrameType::kAdopt) return;
      const auto unit = take_record<UnitRecord>(payload);
      // What the source itself wrote does not come again from the server.
      if (unit.xid != 0)
        ledger_.history.add(unit.epoch, {Lsn(unit.commit_end), Xid(unit.xid), PgTime(unit.commit_time), unit.changes});
      if (frame.type != FrameType::kAdopt) return;
      named_.push_back(take_record<AdoptRecord>(payload).file_number);
      result_.next_adopted = std::max(result_.next_adopted, named_.back() + 1);
    } catch (const OutOfBytes&) {
      throw_damage(frame.place, "the frame is too short for its type");
    }
  }

  void check_known_durable() {
    if (!options_.known_durable) return;
    const Position& known = *options_.known_durable;
    const Position end = result_.segments.empty() ? Position{} : ledger_.state.end;
    if (known.epoch < end.epoch || (known.epoch == end.epoch && known.commit_end <= end.commit_end)) return;
    const std::string what = fmt::format("it ends at {}, but {} was durable", end.str(), known.str());
    if (result_.segments.empty()) {
      throw CorruptionError("TR401", "the journal is gone: " + what,
                            "restore the journal's directory from a copy, or let the tables be copied again");
    }
    throw_damage({result_.segments.back().record.number, result_.end}, what);
  }

  /// Counts the files that belong to segments and removes those that no ADOPT frame came to name.
  void sort_adopted_files() {
    const std::uint64_t first = result_.segments.front().record.number;
    const std::uint64_t last = result_.segments.back().record.number;
    std::set<std::string> named;
    for (const std::uint32_t number : named_) named.insert(adopted_name(last, number));
    for (const std::string& name : store_.files.list(store_.directory)) {
      const auto segment = parse_adopted_name(name);
      if (!segment) continue;
      if (*segment < first || *segment > last || (*segment == last && !named.contains(name))) {
        store_.files.remove(store_.directory / name);
        continue;
      }
      named.erase(name);
      const std::uint64_t size = store_.files.open_to_read(store_.directory / name, store_.direct)->size();
      space_.count(size);
      SegmentInfo& info = result_.segments[*segment - first];
      info.adopted_bytes += size;
      ++info.adopted_files;
    }
    if (!named.empty()) throw_damage({last, result_.end}, "the file " + *named.begin() + ", named before, is missing");
  }

  const Options& options_;
  const Store& store_;
  ChunkPool& chunks_;
  Space& space_;
  Ledger& ledger_;
  Recovered result_;
  /// Numbers of the files that the last segment names.
  std::vector<std::uint32_t> named_;
};

}  // namespace

std::vector<SegmentInfo> find_segments(const Store& store, ChunkPool& chunks) {
  std::vector<SegmentInfo> found;
  for (const std::string& name : store.files.list(store.directory)) {
    const auto number = parse_segment_name(name);
    if (!number) continue;
    if (!found.empty() && found.back().record.number + 1 != *number)
      throw_damage({found.back().record.number + 1, 0}, "the segment is missing");
    const SegmentFile file(store.files, store.directory, *number, store.direct, chunks);
    SegmentInfo info;
    info.record = file.record();
    info.file_bytes = file.size();
    info.end = kFirstFrame;
    if (!found.empty()) found.back().end = info.record.previous_end;
    found.push_back(info);
  }
  return found;
}

Recovered recover(const Options& options, const Store& store, ChunkPool& chunks, Space& space, Ledger& ledger) {
  return Recovery(options, store, chunks, space, ledger).run();
}

}  // namespace tailrace::journal
