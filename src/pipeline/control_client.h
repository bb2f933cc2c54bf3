#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"
#include "pipeline/state_directory.h"

namespace tailrace::pipeline {

/// A command's connection to a running pipeline. One thread; what was lent over it comes back when it is destroyed.
class ControlClient {
 public:
  /// Nothing when no process runs this pipeline.
  static std::optional<ControlClient> connect(const StatePaths& paths);

  /// Sends a request, hands over the pieces of a streamed answer, and gives what "done" holds. Throws what the other
  /// side threw; RetryError TR514 when it ended meanwhile.
  nlohmann::json ask(const nlohmann::json& request, const std::function<void(std::string_view)>& take_piece = {});

 private:
  explicit ControlClient(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
};

}  // namespace tailrace::pipeline
