#include "sources/postgres/stop_signal.h"

#include <poll.h>
#include <sys/eventfd.h>

namespace tailrace::postgres {

void StopSignal::Raise::operator()() const {
  // A full counter cannot happen with one write; the reader only polls.
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

StopSignal::StopSignal(std::stop_token stop)
    : stop_(std::move(stop)), fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), callback_(stop_, Raise{fd_.get()}) {}

void StopSignal::sleep_for_ms(int milliseconds) const {
  pollfd wait{fd_.get(), POLLIN, 0};
  poll(&wait, 1, milliseconds);
}

}  // namespace tailrace::postgres
