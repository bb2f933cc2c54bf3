#include "sinks/webhook/webhook_target.h"

#include <utility>

#include "base/error.h"
#include "sinks/webhook/request_form.h"

namespace tailrace::webhook {

WebhookTarget::WebhookTarget(WebhookSpec spec, std::shared_ptr<sinks::LocalState> state)
    : spec_(std::move(spec)), state_(std::move(state)) {}

sinks::RowTraits WebhookTarget::traits() const {
  return {.style = sinks::RowStyle::kEvents,
          .takes_unchanged = true,
          .unit_changes = spec_.most_changes(),
          .unit_bytes = 8U << 20};
}

std::unique_ptr<sinks::RowWriter> WebhookTarget::writer() {
  return std::make_unique<WebhookWriter>(spec_, *state_, delivered_);
}

std::string WebhookTarget::obstacle(const Relation& relation) const {
  try {
    const RequestForm form(relation, spec_);
    return {};
  } catch (const RefusedError& error) {
    return error.what();
  }
}

// Whether a change can be made into a request is seen where it is made into one: the writer says which could not.
const char* WebhookTarget::refusal_of(const sinks::RowChange& change) const {
  static_cast<void>(change);
  return nullptr;
}

// A receiver has no tables: what was sent before is its own, and comes again with the same key.
void WebhookTarget::make_table(const Relation& relation, bool ours) {
  static_cast<void>(relation);
  static_cast<void>(ours);
}

void WebhookTarget::empty_table(const Relation& relation) {
  static_cast<void>(relation);
  throw DefectError("a receiver of events was asked to empty a table");
}

std::string WebhookTarget::alter_table(const Relation& before, const Relation& after, const SchemaChange& change) {
  static_cast<void>(before);
  static_cast<void>(change);
  return obstacle(after);
}

}  // namespace tailrace::webhook
