#include "cli/row_sink_setup.h"

#include "sinks/row_sink.h"

namespace tailrace::cli {

pipeline::SinkSetup row_sink_setup(const std::string& name, const std::string& kind, const std::string& display,
                                   const RowTargetMaker& make) {
  pipeline::SinkSetup setup;
  setup.name = name;
  setup.kind = kind;
  setup.display = display;
  setup.make = [make, display](const pipeline::SinkRoom& room) -> std::unique_ptr<sinks::Sink> {
    // On its way a row is there as it came, as the target wants it, and as the connection sends it.
    sinks::RowSinkSpec spec{room.pipeline, room.source_id,   display,        room.wanted,
                            room.rules,    room.apply_later, room.memory / 4};
    return std::make_unique<sinks::RowSink>(std::move(spec), make(room));
  };
  setup.backfills = [make] { return make({})->traits().style == sinks::RowStyle::kState; };
  setup.check = [make](const pipeline::TargetToCheck& target) -> std::string {
    return make({.pipeline = target.pipeline})->open().empty() ? "reachable, nothing of this pipeline is there yet"
                                                               : "reachable, goes on from its cursor";
  };
  return setup;
}

}  // namespace tailrace::cli
