#include "server/watched_pipelines.h"

#include <mutex>

namespace tailrace::server {

void WatchedPipelines::add(const Watched& pipeline) {
  const std::unique_lock lock(mutex_);
  pipelines_.push_back(&pipeline);
}

void WatchedPipelines::remove(const Watched& pipeline) {
  const std::unique_lock lock(mutex_);
  std::erase(pipelines_, &pipeline);
}

void WatchedPipelines::for_each(const std::string& name, const std::function<void(const Watched&)>& look) const {
  const std::shared_lock lock(mutex_);
  for (const Watched* pipeline : pipelines_) {
    if (name.empty() || pipeline->name() == name) look(*pipeline);
  }
}

}  // namespace tailrace::server
