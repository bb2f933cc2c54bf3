#pragma once

#include <functional>
#include <mutex>

#include "sources/postgres/postgres_source.h"

namespace tailrace::postgres {

/// Holds the SourceStatus that one thread keeps up to date and any thread may look at.
class StatusBoard {
 public:
  template <typename Change>
  void update(Change change) {
    const std::lock_guard lock(mutex_);
    change(status_);
    status_.lag_bytes =
        status_.server_lsn > status_.confirmed_lsn ? status_.server_lsn.value() - status_.confirmed_lsn.value() : 0;
  }
  SourceStatus look() const {
    const std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  mutable std::mutex mutex_;
  SourceStatus status_;
};

}  // namespace tailrace::postgres
