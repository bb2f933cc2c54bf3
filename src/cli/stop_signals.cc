#include "cli/stop_signals.h"

#include <unistd.h>

#include <csignal>
#include <ctime>
#include <utility>

namespace tailrace::cli {
namespace {

sigset_t stop_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

StopSignals::StopSignals(Hangup hangup) : hangup_(hangup) {
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  watcher_ = std::jthread([this](std::stop_token stop) { watch(std::move(stop)); });
}

StopSignals::~StopSignals() {
  watcher_.request_stop();
  watcher_.join();
}

void StopSignals::watch(std::stop_token stop) {
  const sigset_t set = stop_set();
  while (!stop.stop_requested()) {
    const timespec wait{0, 100'000'000};
    const int signal = sigtimedwait(&set, nullptr, &wait);
    if (signal < 0) continue;
    if (signal == SIGHUP && hangup_ == Hangup::kReload) {
      reload_ = true;
      continue;
    }
    if (source_.stop_requested()) ::_exit(0);
    source_.request_stop();
  }
}

}  // namespace tailrace::cli
