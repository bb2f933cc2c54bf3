#include "pipeline/pipeline_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "pipeline/delivery_file.h"
#include "pipeline/rules_file.h"
#include "pipeline/state_directory.h"

namespace tailrace::pipeline {
namespace {

using config::Entry;
using config::FieldDoc;
using config::Need;
using config::Node;
using config::Object;
using config::Reading;

constexpr std::uint64_t kLeastMemory = 96ULL << 20;

struct JournalDraft {
  std::string path;
  JournalSetup setup;
  std::chrono::milliseconds keep = setup.keep;
  std::uint64_t max_size = setup.max_size;
  OnFull on_full = setup.on_full;
};
struct LogDraft {
  JournalDraft journal;
};
struct LimitsDraft {
  std::uint64_t memory = 512ULL << 20;
};
/// A document before its parts, which depend on the name, are read.
struct Draft {
  std::string name;
  LogDraft log;
  LimitsDraft limits;
  VerifyMode verify = VerifyMode::kOff;
  const Node* source = nullptr;
  const Node* sinks = nullptr;
  std::vector<rules::TableRules> rules;
};

template <typename Kind>
std::shared_ptr<const config::ObjectDoc> one_of_kinds(const std::vector<Kind>& kinds, std::string doc) {
  auto object = std::make_shared<config::ObjectDoc>();
  object->doc = std::move(doc);
  object->one_of = true;
  for (const Kind& kind : kinds) {
    FieldDoc field;
    field.name = kind.name;
    field.doc = kind.doc->doc;
    field.type = "map";
    field.below = kind.doc;
    object->fields.push_back(std::move(field));
  }
  return object;
}

/// A sink: its kind, and what may be said of any.
std::shared_ptr<const config::ObjectDoc> sink_doc(const Components& components) {
  auto object = std::make_shared<config::ObjectDoc>(*one_of_kinds(components.sinks, "A target."));
  for (FieldDoc& field : delivery_fields()) object->fields.push_back(std::move(field));
  return object;
}

Object<Draft> draft_object(const Components& components) {
  Object<JournalDraft> journal("The embedded log: segments on local disk.");
  journal.text("path", &JournalDraft::path, "The state directory; default `./tailrace-data/NAME`.")
      .duration("keep", &JournalDraft::keep, "How long changes are kept after every sink has them.")
      .size("max_size", &JournalDraft::max_size, "Disk space for the log; what happens then says `on_full`.")
      .choice<OnFull>(
          "on_full", &JournalDraft::on_full, {{"stop", OnFull::kStop}, {"detach", OnFull::kDetach}},
          "`stop`: nothing more is read from the source until the slowest sink has caught up. `detach`: that "
          "sink is let go, and made right by a copy once it can be reached again; not one whose target tells "
          "of every change.");
  Object<LogDraft> log("Where changes are kept until every sink has them.");
  log.object("journal", &LogDraft::journal, journal).one_of();
  Object<LimitsDraft> limits("What the process may use.");
  limits.size("memory", &LimitsDraft::memory, "Of the whole process, targets' libraries included.");

  FieldDoc source;
  source.name = "source";
  source.doc = "Where changes come from.";
  source.required = true;
  source.type = "map";
  source.below = one_of_kinds(components.sources, source.doc);
  FieldDoc sinks;
  sinks.name = "sinks";
  sinks.doc = "Where changes go, by names of your choice; `{}` captures into the log only.";
  sinks.required = true;
  sinks.type = "map";
  sinks.named_below = true;
  sinks.below = sink_doc(components);

  Object<Draft> draft("A file holds one pipeline, or several as YAML documents separated by `---`.");
  draft
      .text("name", &Draft::name, "Lower-case letters, digits and _; also names slot, publication and state.",
            Need::kRequired)
      .other(std::move(source), [](Draft& into, const Node& node, const Reading&) { into.source = &node; })
      .object("log", &Draft::log, log)
      .other(std::move(sinks), [](Draft& into, const Node& node, const Reading&) { into.sinks = &node; })
      .other(rules_field(),
             [](Draft& into, const Node& node, const Reading& reading) { into.rules = read_rules(node, reading); })
      .object("limits", &Draft::limits, limits)
      .choice<VerifyMode>("verify", &Draft::verify,
                          {{"off", VerifyMode::kOff}, {"continuous", VerifyMode::kContinuous}},
                          "`continuous`: compare source and targets all the time, 10,000 rows a second; `tailrace "
                          "status` names the tables that differ.");
  return draft;
}

/// The kind that is named in `node`, which is declared by `doc` with the kinds first, and what stands under it.
template <typename Kind>
std::pair<const Kind*, const Entry*> kind_of(const std::vector<Kind>& kinds, const config::ObjectDoc& doc,
                                             const Node& node, const Reading& reading) {
  const auto matched = config::match_fields(doc, node, reading);
  const auto chosen = std::ranges::find_if(matched, [&kinds](const auto& at) { return at.first < kinds.size(); });
  return {&kinds[chosen->first], chosen->second};
}

PipelineSpec read_pipeline(const Node& node, const Components& components, const Reading& reading) {
  Draft draft;
  draft_object(components).read(draft, node, reading);
  PipelineSpec spec;
  spec.name = draft.name;
  try {
    check_name(spec.name);
  } catch (const BadConfigError& error) {
    throw reading.error(error.code(), error.what(), error.remedy(), *node.find("name"));
  }
  const auto [source_kind, source] =
      kind_of(components.sources, *one_of_kinds(components.sources, ""), *draft.source, reading);
  spec.source = source_kind->read(source->value, reading, spec.name);
  if (draft.sinks->kind != Node::Kind::kMap) throw reading.wrong(*draft.sinks, "map from names to targets, or {}");
  for (const Entry& sink : draft.sinks->entries) {
    const auto [kind, entry] = kind_of(components.sinks, *sink_doc(components), sink.value, reading);
    SinkSetup setup = kind->read(entry->value, reading, sink.key);
    setup.delivery = read_delivery(sink.value, reading, setup.delivery);
    for (const SinkSetup& other : spec.sinks)
      if (other.kind == setup.kind && other.display == setup.display)
        throw reading.error("TR209", fmt::format("`{}` and `{}` are one target", other.name, setup.name),
                            "give each sink a target of its own", sink.value);
    spec.sinks.push_back(std::move(setup));
  }
  if (!draft.rules.empty())
    spec.rules = std::make_shared<const rules::RowRules>(std::move(draft.rules), components.conditions);
  const JournalDraft& journal = draft.log.journal;
  spec.log = {.keep = journal.keep, .max_size = journal.max_size, .on_full = journal.on_full};
  spec.state = journal.path.empty() ? default_state_root() / spec.name : std::filesystem::path(journal.path);
  spec.memory = draft.limits.memory;
  spec.verify = draft.verify;
  if (spec.memory < kLeastMemory) {
    throw reading.error("TR202", "limits.memory is too small", "give it at least 96MiB",
                        *node.find("limits")->find("memory"));
  }
  return spec;
}

}  // namespace

std::vector<PipelineSpec> read_pipelines(const config::File& file, const Components& components,
                                         const config::Environment& environment) {
  const Reading reading(file, environment);
  std::vector<PipelineSpec> specs;
  std::set<std::string> names;
  for (const Node& document : file.documents()) {
    specs.push_back(read_pipeline(document, components, reading));
    if (names.insert(specs.back().name).second) continue;
    throw reading.error("TR209", fmt::format("two pipelines are named `{}`", specs.back().name), "rename one of them",
                        *document.find("name"));
  }
  if (specs.empty()) {
    throw file.error("TR210", "the file holds no pipeline", "`tailrace init SOURCE` writes a first one", {});
  }
  return specs;
}

std::shared_ptr<const config::ObjectDoc> pipeline_doc(const Components& components) {
  return draft_object(components).doc();
}

}  // namespace tailrace::pipeline
