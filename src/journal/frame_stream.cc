#include "journal/frame_stream.h"

#include "base/error.h"

namespace tailrace::journal {

FrameStream::Step FrameStream::next(Frame& out) {
  for (;;) {
    if (!memory_.empty()) {
      if (read_frame(memory_, at_, 0, true, out) != FrameCheck::kValid)
        throw DefectError("a frame in the journal's memory is not whole");
      memory_.remove_prefix(frame_bytes(out.payload.size()));
      at_.offset = out.end();
      return Step::kFrame;
    }
    if (at_.offset < disk_limit_) return next_on_disk(disk_limit_, out);

    const Tail::Look look = tail_.look(at_);
    switch (look.kind) {
      case Tail::Look::Kind::kNothingYet: return Step::kEnd;
      case Tail::Look::Kind::kMemory:
        memory_ = look.bytes;
        pin_ = look.chunk;
        file_.reset();
        break;
      case Tail::Look::Kind::kDisk:
        disk_limit_ = look.limit;
        if (file_) file_->forget();
        break;
      case Tail::Look::Kind::kNextSegment:
        at_ = {at_.segment + 1, kFirstFrame};
        disk_limit_ = 0;
        file_.reset();
        break;
      case Tail::Look::Kind::kGone: return Step::kGone;
    }
  }
}

bool FrameStream::open_segment() {
  if (file_) return true;
  try {
    file_ = std::make_unique<SegmentFile>(store_.files, store_.directory, at_.segment, store_.direct, chunks_);
    return true;
  } catch (const CorruptionError&) {
    if (tail_.look(at_).kind != Tail::Look::Kind::kGone) throw;
    return false;
  }
}

FrameStream::Step FrameStream::next_on_disk(std::uint64_t limit, Frame& out) {
  if (!open_segment()) return Step::kGone;
  if (file_->read(at_.offset, limit, out) != FrameCheck::kValid) throw_damage(at_, "the checksum does not match");
  pin_ = file_->pin();
  at_.offset = out.end();
  return Step::kFrame;
}

}  // namespace tailrace::journal
