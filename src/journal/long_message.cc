#include "journal/long_message.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstring>

#include "base/let_go.h"
#include "base/unique_fd.h"

namespace tailrace::journal {
namespace {

/// Null when there is no such file, or no room for it.
char* map_file(const std::filesystem::path& directory, std::size_t bytes) {
  const UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file || ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)) != 0) return nullptr;
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
}

}  // namespace

LongMessage::LongMessage(const std::filesystem::path& directory, std::size_t bytes) : size_(bytes) {
  if (bytes >= kMessageInFile) data_ = map_file(directory, bytes);
  if (data_ != nullptr) return;
  memory_ = std::make_unique<Chunk>(bytes);
  data_ = memory_->data;
}

LongMessage::~LongMessage() {
  if (!memory_) ::munmap(data_, size_);
}

void LongMessage::add(ByteView part) {
  std::memcpy(data_ + added_, part.data(), part.size());
  if (!memory_) let_go({data_ + added_, part.size()});
  added_ += part.size();
}

}  // namespace tailrace::journal
