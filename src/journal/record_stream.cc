#include "journal/record_stream.h"

#include <algorithm>
#include <cstring>

namespace tailrace::journal {

void RecordStream::take(char* to, std::size_t size) {
  while (size > 0) {
    if (piece_.bytes.empty()) {
      piece_ = next_piece_();
      if (piece_.bytes.empty()) throw OutOfBytes();
    }
    const std::size_t n = std::min(size, piece_.bytes.size());
    std::memcpy(to, piece_.bytes.data(), n);
    piece_.bytes.remove_prefix(n);
    to += n;
    size -= n;
  }
}

bool RecordStream::next(Record& out) {
  if (offset_ == stream_bytes_) return false;
  SpillRecord header;
  take(reinterpret_cast<char*>(&header), sizeof(header));
  if (stream_bytes_ - offset_ < sizeof(header) + header.length) throw OutOfBytes();
  own_.reset();
  if (header.length <= piece_.bytes.size()) {
    out.message = piece_.bytes.substr(0, header.length);
    piece_.bytes.remove_prefix(header.length);
  } else {
    auto whole = std::make_shared<std::string>(header.length, '\0');
    take(whole->data(), whole->size());
    out.message = *whole;
    own_ = std::move(whole);
  }
  out.sub_xid = Xid(header.sub_xid);
  out.offset = offset_;
  offset_ += sizeof(header) + header.length;
  return true;
}

}  // namespace tailrace::journal
