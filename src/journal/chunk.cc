#include "journal/chunk.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "journal/format.h"

namespace tailrace::journal {
namespace {

/// From here on memory comes straight from the kernel and goes back at once, where malloc would keep and scatter it.
constexpr std::size_t kMapped = 256 << 10;

char* take_memory(std::size_t bytes) {
  if (bytes < kMapped) {
    void* memory = std::aligned_alloc(kBlock, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<char*>(memory);
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

}  // namespace

Chunk::Chunk(std::size_t bytes) : data(take_memory(align_up(bytes, kBlock))), size(align_up(bytes, kBlock)) {}

Chunk::~Chunk() {
  if (size < kMapped) {
    std::free(data);
  } else {
    ::munmap(data, size);
  }
}

ChunkPool::ChunkPool(std::size_t keep) : shelf_(std::make_shared<Shelf>()) { shelf_->keep = keep; }

ChunkPtr ChunkPool::take() {
  std::unique_ptr<Chunk> chunk;
  {
    std::lock_guard lock(shelf_->mutex);
    if (!shelf_->chunks.empty()) {
      chunk = std::move(shelf_->chunks.back());
      shelf_->chunks.pop_back();
    }
  }
  if (!chunk) chunk = std::make_unique<Chunk>(kChunk);
  return {chunk.release(), [shelf = std::weak_ptr<Shelf>(shelf_)](Chunk* back) {
            std::unique_ptr<Chunk> owned(back);
            const auto alive = shelf.lock();
            if (!alive) return;
            std::lock_guard lock(alive->mutex);
            if (alive->chunks.size() < alive->keep) alive->chunks.push_back(std::move(owned));
          }};
}

}  // namespace tailrace::journal
