#pragma once

#include <map>
#include <optional>
#include <string>

namespace tailrace::sinks {

/// What a sink remembers, by names of its own: bytes under printable keys.
using StateMap = std::map<std::string, std::string>;
/// What becomes of it; nothing: the key goes.
using StateChanges = std::map<std::string, std::optional<std::string>>;

/// Where a sink keeps its state whose target keeps none: beside the pipeline, under the sink's name. Outlives the
/// sink; any thread.
class LocalState {
 public:
  virtual ~LocalState() = default;
  virtual StateMap load() = 0;
  /// All of it or nothing, durable on return. Throws RetryError when there is no room for it.
  virtual void save(const StateChanges& changes) = 0;
};

}  // namespace tailrace::sinks
