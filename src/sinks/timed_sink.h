#pragma once

namespace tailrace::sinks {

/// Of a sink whose maintain() may have something to do that is due by the clock, while nothing happens. Its runner's
/// thread.
class TimedSink {
 public:
  virtual ~TimedSink() = default;
  /// Cheap: asked whenever the sink is idle.
  virtual bool wants_maintenance() const = 0;
};

}  // namespace tailrace::sinks
