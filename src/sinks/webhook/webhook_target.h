#pragma once

#include <memory>
#include <string>

#include "sinks/local_state.h"
#include "sinks/row_target.h"
#include "sinks/webhook/spec.h"
#include "sinks/webhook/webhook_writer.h"

namespace tailrace::webhook {

/// Changes as requests to an HTTP server. What the sink remembers stays with the pipeline and is written after the
/// answers; what a crash leaves in between is sent again with the key it had (see RowTarget).
class WebhookTarget final : public sinks::RowTarget {
 public:
  WebhookTarget(WebhookSpec spec, std::shared_ptr<sinks::LocalState> state);

  sinks::RowTraits traits() const override;
  sinks::StateMap open() override { return state_->load(); }
  std::unique_ptr<sinks::RowWriter> writer() override;
  std::string obstacle(const Relation& relation) const override;
  const char* refusal_of(const sinks::RowChange& change) const override;
  void make_table(const Relation& relation, bool ours) override;
  void empty_table(const Relation& relation) override;
  std::string alter_table(const Relation& before, const Relation& after, const SchemaChange& change) override;
  void release() override {}

 private:
  const WebhookSpec spec_;
  const std::shared_ptr<sinks::LocalState> state_;
  Delivered delivered_;
};

}  // namespace tailrace::webhook
