#include "base/let_go.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace tailrace {

void let_go(ByteView bytes) {
  if (bytes.empty()) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size() + page - 1) / page * page;
  // Older kernels do not know it; then the memory is used until the bytes go.
  ::madvise(reinterpret_cast<void*>(first), end - first, MADV_PAGEOUT);
}

}  // namespace tailrace
