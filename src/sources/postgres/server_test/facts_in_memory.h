#pragma once

#include "sources/postgres/source_memory.h"

namespace tailrace::postgres {

/// SourceMemory for tests: survives as long as the test does.
class FactsInMemory : public SourceMemory {
 public:
  std::optional<SourceFacts> load() override { return facts; }
  void save(const SourceFacts& saved) override { facts = saved; }
  std::optional<SourceFacts> facts;
};

}  // namespace tailrace::postgres
