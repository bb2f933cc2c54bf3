#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace tailrace::journal {

/// A run of block-aligned memory, mostly kChunk bytes, in which frames are built, written, and read from. Shared: the
/// batches that point into it keep it alive. What lies below the durable end never changes; only the writer touches the
/// rest.
struct Chunk {
  explicit Chunk(std::size_t bytes);
  ~Chunk();
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  char* const data;
  const std::size_t size;
};
using ChunkPtr = std::shared_ptr<Chunk>;

inline constexpr std::size_t kChunk = 1 << 20;

/// Gives out chunks and keeps a few that came back, so that the kernel need not map memory anew for each. Any thread;
/// chunks may outlive the pool.
class ChunkPool {
 public:
  explicit ChunkPool(std::size_t keep);
  ChunkPtr take();

 private:
  struct Shelf {
    std::mutex mutex;
    std::size_t keep = 0;
    std::vector<std::unique_ptr<Chunk>> chunks;  // guarded by mutex
  };
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace tailrace::journal
