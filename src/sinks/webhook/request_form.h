#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/row_template.h"
#include "sinks/event_json.h"
#include "sinks/row_target.h"
#include "sinks/webhook/spec.h"

namespace tailrace::webhook {

/// How the requests of one version of a table are made. The relation and the spec outlive it; one thread.
class RequestForm {
 public:
  /// Throws RefusedError TR822 for a column that the table does not have, TR834 where the URL needs a key and it has
  /// none.
  RequestForm(const Relation& relation, const WebhookSpec& spec);

  /// Makes URL, headers and body, but for what seal() adds. Gives why that cannot be, for a person and without values;
  /// null: it is done.
  const char* fill(const sinks::RowChange& change, const std::string& key, HttpRequest& request) const;
  /// The idempotency key: of a change its place in the source, of a copied row what it holds, or the column's value.
  /// `unlike`: what tells this copied row from equal ones of a table without key. Nothing: the column has none that a
  /// header can have.
  std::optional<std::string> key_of(const sinks::RowChange& change, const std::string& unlike) const;

 private:
  const Relation& relation_;
  const WebhookSpec& spec_;
  const bool has_key_;
  sinks::EventJson events_;
  formats::BoundTemplate url_;
  std::vector<std::pair<std::string, formats::BoundTemplate>> headers_;
  formats::BoundTemplate body_;
  /// Indexes, ascending.
  std::vector<std::size_t> body_columns_;
  std::optional<std::size_t> key_column_;
};

/// Adds the headers that depend on the whole body.
void seal(HttpRequest& request, const std::string& key, const WebhookSpec& spec);

}  // namespace tailrace::webhook
