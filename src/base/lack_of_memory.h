#pragma once

#include <cerrno>
#include <exception>
#include <new>
#include <system_error>

#include "base/error.h"

namespace tailrace {

/// Whether an exception of the standard library says that the system gives no more memory or threads. Else it is a
/// defect of ours.
inline bool is_lack_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  const auto* refused = dynamic_cast<const std::system_error*>(&error);
  return refused != nullptr && (refused->code() == std::errc::resource_unavailable_try_again ||
                                refused->code() == std::errc::not_enough_memory);
}

inline RetryError lack_of_memory() {
  return {"TR149", "the system gives this process no more memory or threads",
          "see what else runs on the machine and how this process is limited, then start again: nothing is lost"};
}

}  // namespace tailrace
