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

bool is_ignored(int signal) {
  struct sigaction now{};
  sigaction(signal, nullptr, &now);
  return now.sa_handler == SIG_IGN;
}

}  // namespace

void hold_stop_signals() {
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void release_stop_signals() {
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

StopSignals::StopSignals(Hangup hangup)
    : hangup_(hangup), deaf_to_hangup_(hangup == Hangup::kStop && is_ignored(SIGHUP)) {
  hold_stop_signals();
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
    // While it is held Linux queues an ignored signal too.
    if (signal < 0 || (signal == SIGHUP && deaf_to_hangup_)) continue;
    if (signal == SIGHUP && hangup_ == Hangup::kReload) {
      reload_ = true;
      continue;
    }
    if (source_.stop_requested()) ::_exit(0);
    source_.request_stop();
  }
}

}  // namespace tailrace::cli
