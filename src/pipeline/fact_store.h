#pragma once

#include <optional>
#include <string>

namespace tailrace::pipeline {

/// Keeps what a source remembers of itself over restarts, in a form that only the source reads. Implemented by the
/// catalog; any thread.
class FactStore {
 public:
  virtual ~FactStore() = default;
  /// Nothing when nothing was ever saved.
  virtual std::optional<std::string> load_facts() = 0;
  /// Durable on return. `source_id` names the database whose history is followed.
  virtual void save_facts(const std::string& facts, const std::string& source_id) = 0;
};

}  // namespace tailrace::pipeline
