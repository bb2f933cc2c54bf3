#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "config/schema.h"
#include "net/server_address.h"
#include "pipeline/pipeline_file.h"
#include "sinks/row_target.h"

/// What the registrations of all targets that take rows one by one have in common.
namespace tailrace::cli {

/// Declares the options of any server, behind those of the target itself. The draft is a net::ConnectionTerms.
template <typename Draft>
void add_server_options(config::Object<Draft>& object) {
  object.text("ca_file", &Draft::ca_file, "TLS: the authority to trust (PEM); default: the system's.")
      .text("certificate_file", &Draft::certificate_file, "TLS: our certificate (PEM).")
      .text("key_file", &Draft::key_file, "TLS: its key (PEM).")
      .duration("timeout", static_cast<std::chrono::milliseconds Draft::*>(&Draft::timeout),
                "How long connecting and an answer may take.");
}

/// What a draft says of them goes to the target's own.
inline void set_terms(net::ConnectionTerms& of, const net::ConnectionTerms& draft) { of = draft; }

/// The target of a pipeline.
using RowTargetMaker = std::function<std::unique_ptr<sinks::RowTarget>(const pipeline::SinkRoom& room)>;

/// `display`: the target without secrets.
pipeline::SinkSetup row_sink_setup(const std::string& name, const std::string& kind, const std::string& display,
                                   const RowTargetMaker& make);

/// A kind whose options are `object`; `make` may throw BadConfigError, which is then shown with its place.
template <typename Draft>
pipeline::SinkKind row_sink_kind(const std::string& name, const config::Object<Draft>& object,
                                 std::function<pipeline::SinkSetup(const std::string& sink, const Draft& draft)> make) {
  return {.name = name,
          .doc = object.doc(),
          .read = [object, make = std::move(make)](const config::Node& node, const config::Reading& reading,
                                                   const std::string& sink) {
            Draft draft;
            object.read(draft, node, reading);
            try {
              return make(sink, draft);
            } catch (const BadConfigError& error) {
              throw reading.error(error.code(), error.what(), error.remedy(), node);
            }
          }};
}

}  // namespace tailrace::cli
