#include "journal/space.h"

#include <fmt/format.h>

#include "base/error.h"

namespace tailrace::journal {

void Space::take(std::uint64_t bytes) {
  if (used_ + bytes > max_) {
    throw RetryError(
        "TR403",
        fmt::format("the journal is full: {} of {} bytes are in use, {} more are needed", used_.load(), max_, bytes),
        "reading from PostgreSQL stands still until the slowest sink moves on; see `tailrace status`, or "
        "raise log.journal.max_size");
  }
  used_ += bytes;
}

}  // namespace tailrace::journal
