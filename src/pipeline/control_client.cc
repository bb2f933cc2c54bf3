#include "pipeline/control_client.h"

#include <utility>

#include "base/error.h"
#include "pipeline/control_protocol.h"
#include "pipeline/control_socket.h"

namespace tailrace::pipeline {

std::optional<ControlClient> ControlClient::connect(const StatePaths& paths) {
  std::optional<UniqueFd> socket = connect_to(paths.control());
  if (!socket) return std::nullopt;
  return ControlClient(std::move(*socket));
}

nlohmann::json ControlClient::ask(const nlohmann::json& request,
                                  const std::function<void(std::string_view)>& take_piece) {
  LineChannel channel(socket_.get());
  if (channel.write(request.dump())) {
    while (const std::optional<std::string> line = channel.read({})) {
      const nlohmann::json answer = nlohmann::json::parse(*line, nullptr, false);
      if (!answer.is_object()) break;
      if (const auto error = answer.find("error"); error != answer.end()) throw_error(*error);
      if (const auto done = answer.find("done"); done != answer.end()) return *done;
      const std::optional<std::string> piece = channel.read_bytes(answer.value("piece", std::size_t{0}), {});
      if (!piece) break;
      if (take_piece) take_piece(*piece);
    }
  }
  throw RetryError("TR514", "the pipeline's process ended before it answered", "look at `tailrace status`");
}

}  // namespace tailrace::pipeline
