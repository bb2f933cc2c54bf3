#include "journal/record_stream.h"

#include <algorithm>
#include <cstring>

#include "journal/long_message.h"

namespace tailrace::journal {

template <typename Use>
void RecordStream::take(std::size_t size, Use use) {
  while (size > 0) {
    if (piece_.bytes.empty()) {
      piece_ = next_piece_();
      if (piece_.bytes.empty()) throw OutOfBytes();
    }
    const std::size_t n = std::min(size, piece_.bytes.size());
    use(piece_.bytes.substr(0, n));
    piece_.bytes.remove_prefix(n);
    size -= n;
  }
}

bool RecordStream::next(Record& out) {
  if (offset_ == stream_bytes_) return false;
  SpillRecord header;
  char* to = reinterpret_cast<char*>(&header);
  take(sizeof(header), [&to](ByteView part) {
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  });
  if (stream_bytes_ - offset_ < sizeof(header) + header.length) throw OutOfBytes();
  own_.reset();
  if (header.length <= piece_.bytes.size()) {
    out.message = piece_.bytes.substr(0, header.length);
    piece_.bytes.remove_prefix(header.length);
  } else {
    auto whole = std::make_shared<LongMessage>(directory_, header.length);
    take(header.length, [&whole](ByteView part) { whole->add(part); });
    out.message = whole->bytes();
    own_ = std::move(whole);
  }
  out.sub_xid = Xid(header.sub_xid);
  out.offset = offset_;
  offset_ += sizeof(header) + header.length;
  return true;
}

}  // namespace tailrace::journal
