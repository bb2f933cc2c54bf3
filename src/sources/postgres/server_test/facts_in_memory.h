#pragma once

#include <mutex>

#include "sources/postgres/source_memory.h"

namespace tailrace::postgres {

/// SourceMemory for tests: survives as long as the test does. Beside a running source only load() may be called.
class FactsInMemory : public SourceMemory {
 public:
  std::optional<SourceFacts> load() override {
    const std::lock_guard lock(mutex_);
    return facts;
  }
  void save(const SourceFacts& saved) override {
    const std::lock_guard lock(mutex_);
    facts = saved;
  }
  std::optional<SourceFacts> facts;

 private:
  std::mutex mutex_;
};

}  // namespace tailrace::postgres
