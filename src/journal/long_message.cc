#include "journal/long_message.h"

#include <cstring>

#include "base/error.h"
#include "base/let_go.h"

namespace tailrace::journal {
namespace {

/// Null when there is no room for it. A reader that then waited for room might wait for itself: what it has read is
/// what can be removed.
std::unique_ptr<FileBytes> make_file(const std::filesystem::path& directory, std::size_t bytes) {
  try {
    return std::make_unique<FileBytes>(directory, bytes);
  } catch (const RetryError&) {
    return nullptr;
  }
}

}  // namespace

LongMessage::LongMessage(const std::filesystem::path& directory, std::size_t bytes) : size_(bytes) {
  if (bytes >= long_bytes()) file_ = make_file(directory, bytes);
  if (!file_) memory_ = std::make_unique<Chunk>(bytes);
  data_ = file_ ? file_->data() : memory_->data;
}

void LongMessage::add(ByteView part) {
  std::memcpy(data_ + added_, part.data(), part.size());
  if (file_) let_go({data_ + added_, part.size()});
  added_ += part.size();
}

}  // namespace tailrace::journal
