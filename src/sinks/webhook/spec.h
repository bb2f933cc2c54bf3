#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "formats/row_template.h"
#include "sinks/webhook/http_client.h"

namespace tailrace::webhook {

struct HeaderTemplate {
  std::string name;
  formats::RowTemplate value;
};

/// What is sent where. Holds secrets.
struct WebhookSpec {
  formats::RowTemplate url;
  std::string method = "POST";
  std::vector<HeaderTemplate> headers;
  /// The body: a template; else an object of these columns; else, without any, the change as an event.
  formats::RowTemplate body;
  std::vector<std::string> body_columns;
  /// The column that is the idempotency key; empty: the change's place in the source.
  std::string key_column;
  /// Bodies are signed with it; empty: they are not.
  std::string secret;
  /// At most so many changes in a request, which is a JSON array then; 0: each has a request of its own.
  std::size_t batch_rows = 0;
  /// Requests under way at the same time.
  std::size_t parallel = 8;
  HttpSettings http;
  std::string pipeline;

  /// "https://host/… (1a2b3c4d)": paths and queries of such addresses are often secrets.
  std::string display() const;
  /// The address without what depends on the row: to be connected to.
  std::string origin() const;
  /// Changes that are taken at a time: what has been begun is to end in bounded time.
  std::size_t most_changes() const;
};

/// Throws BadConfigError TR830 where it cannot be, without showing its values.
void check_spec(const WebhookSpec& spec);

}  // namespace tailrace::webhook
