#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/schema.h"
#include "pipeline/spec.h"

namespace tailrace::pipeline {

/// A kind of source as the pipeline file has it: `source: {NAME: {…}}`.
struct SourceKind {
  std::string name;
  std::shared_ptr<const config::ObjectDoc> doc;
  std::function<SourceSetup(const config::Node& node, const config::Reading& reading, const std::string& pipeline)>
      read;
};

/// A kind of sink: `sinks: {any name: {NAME: {…}}}`.
struct SinkKind {
  std::string name;
  std::shared_ptr<const config::ObjectDoc> doc;
  std::function<SinkSetup(const config::Node& node, const config::Reading& reading, const std::string& sink)> read;
};

/// What pipelines may be made of; the composition root knows the list.
struct Components {
  std::vector<SourceKind> sources;
  std::vector<SinkKind> sinks;
  /// Who reads the rules that are SQL.
  rules::ConditionMaker conditions = {};
};

/// All documents of a pipeline file, each a pipeline. Throws ConfigError with the place.
std::vector<PipelineSpec> read_pipelines(const config::File& file, const Components& components,
                                         const config::Environment& environment);

/// What the file may hold: for `docs config` and the JSON Schema.
std::shared_ptr<const config::ObjectDoc> pipeline_doc(const Components& components);

}  // namespace tailrace::pipeline
