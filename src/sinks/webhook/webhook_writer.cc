#include "sinks/webhook/webhook_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/crash_point.h"
#include "sinks/busy_target.h"
#include "sinks/webhook/answer.h"

namespace tailrace::webhook {
namespace {

using sinks::RowChange;
using sinks::RowOperation;

/// Of one request.
constexpr std::size_t kLongestBatch = 4U << 20;

std::string random_run() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

}  // namespace

struct WebhookWriter::Work {
  explicit Work(std::span<const RowChange> of) : changes(of), order(of) {}

  std::span<const RowChange> changes;
  DeliveryOrder order;
  /// By the number of their request: the first of its changes.
  std::unordered_map<std::size_t, std::vector<std::size_t>> under_way;
  std::optional<Parcel> next;
  std::vector<std::size_t> written;
  std::vector<sinks::RowsRefused::Row> refused;
  /// A request of many was refused, or one with what may be more than itself: nothing is sent behind it.
  bool batch_refused = false;
  long refused_status = 0;
  /// The worst answer that keeps the rest from being sent.
  std::optional<HttpAnswer> obstacle;

  void refuse(std::size_t at, std::string reason) {
    refused.push_back({at, std::move(reason)});
    order.refused(at);
  }
};

WebhookWriter::WebhookWriter(const WebhookSpec& spec, sinks::LocalState& state, Delivered& delivered)
    : spec_(spec),
      state_(state),
      delivered_(delivered),
      client_(spec.http),
      display_(spec.display()),
      run_(random_run()) {}

const RequestForm& WebhookWriter::form_of(const Relation& relation) {
  auto& form = forms_[&relation];
  if (!form) form = std::make_unique<RequestForm>(relation, spec_);
  return *form;
}

void WebhookWriter::write(std::span<const RowChange> changes, const sinks::StateChanges& state) {
  forms_.clear();
  Work work(changes);
  const std::size_t most = spec_.batch_rows > 0 ? 1 : spec_.parallel;
  do {
    while (!work.obstacle && !work.batch_refused && client_.running() < most && start_next(work)) {
    }
    if (client_.running() == 0) break;
    for (const HttpAnswer& answer : client_.wait()) see(work, answer);
  } while (true);
  if (work.obstacle) give_up(work);
  if (work.batch_refused || !work.refused.empty())
    throw sinks::RowsRefused(
        "TR835",
        work.refused_status == 0 ? fmt::format("{} changes cannot be made into requests", work.refused.size())
                                 : fmt::format("{} answers {}", display_, work.refused_status),
        "look at the dead letters for what the receiver says", std::move(work.refused), std::move(work.written));
  TAILRACE_CRASH_POINT("webhook.delivered");
  if (state.empty()) return;
  state_.save(state);
  delivered_.clear();
  TAILRACE_CRASH_POINT("webhook.state_saved");
}

bool WebhookWriter::start_next(Work& work) {
  std::optional<Parcel> parcel = std::exchange(work.next, std::nullopt);
  while (!parcel) {
    const std::optional<std::size_t> at = work.order.next();
    if (!at) return false;
    parcel = parcel_of(work, *at);
  }
  if (spec_.batch_rows > 0) fill_up(work, *parcel);
  start(work, std::move(*parcel));
  return true;
}

std::optional<WebhookWriter::Parcel> WebhookWriter::parcel_of(Work& work, std::size_t at) {
  const RowChange& change = work.changes[at];
  if (delivered_.contains(change)) {
    work.written.push_back(at);
    work.order.done(at);
    return std::nullopt;
  }
  const RequestForm& form = form_of(*change.relation);
  const bool copied = change.operation == RowOperation::kCopied;
  const auto key = form.key_of(change, copied ? fmt::format("{}-{}", run_, copied_++) : std::string());
  if (!key) {
    work.refuse(at, "its idempotency key is null, was not sent, or cannot stand in a header");
    return std::nullopt;
  }
  Parcel parcel{.places = {at}, .key = *key, .request = {}};
  if (const char* reason = form.fill(change, *key, parcel.request)) {
    work.refuse(at, reason);
    return std::nullopt;
  }
  return parcel;
}

void WebhookWriter::fill_up(Work& work, Parcel& parcel) {
  std::string last = parcel.key;
  // What is in the same request stands in it in order, so nothing in it waits for anything else.
  work.order.done(parcel.places.back());
  while (parcel.places.size() < spec_.batch_rows && parcel.request.body.size() < kLongestBatch) {
    const std::optional<std::size_t> at = work.order.next();
    if (!at) break;
    std::optional<Parcel> more = parcel_of(work, *at);
    if (!more) continue;
    if (more->request.url != parcel.request.url || more->request.headers != parcel.request.headers) {
      work.next = std::move(more);
      break;
    }
    parcel.request.body += ',';
    parcel.request.body += more->request.body;
    parcel.places.push_back(*at);
    last = std::move(more->key);
    work.order.done(*at);
  }
  if (parcel.places.size() > 1) parcel.key += ".." + last;
  parcel.request.body = '[' + parcel.request.body + ']';
}

void WebhookWriter::start(Work& work, Parcel parcel) {
  seal(parcel.request, parcel.key, spec_);
  const std::size_t number = parcel.places.front();
  work.under_way[number] = std::move(parcel.places);
  client_.start(number, std::move(parcel.request));
  TAILRACE_CRASH_POINT("webhook.started");
}

void WebhookWriter::see(Work& work, const HttpAnswer& answer) {
  TAILRACE_CRASH_POINT("webhook.answered");
  const std::vector<std::size_t> places = std::move(work.under_way.extract(answer.request).mapped());
  const bool batch = spec_.batch_rows > 0;
  switch (reaction_to(answer)) {
    case Reaction::kDone:
      for (const std::size_t at : places) {
        if (work.changes[at].operation != RowOperation::kCopied) delivered_.add(work.changes[at].position);
        work.written.push_back(at);
        if (!batch) work.order.done(at);
      }
      return;
    case Reaction::kRefused:
      work.refused_status = answer.status;
      work.batch_refused = batch;
      if (places.size() > 1) return;
      if (batch) {
        work.refused.push_back({places.front(), letter_text(answer)});
      } else {
        work.refuse(places.front(), letter_text(answer));
      }
      return;
    case Reaction::kRetry:
      if (!work.obstacle ||
          (work.obstacle->retry_after < answer.retry_after && reaction_to(*work.obstacle) == Reaction::kRetry))
        work.obstacle = answer;
      return;
    case Reaction::kElsewhere: work.obstacle = answer; return;
  }
}

void WebhookWriter::give_up(const Work& work) const {
  const HttpAnswer& answer = *work.obstacle;
  if (reaction_to(answer) == Reaction::kElsewhere)
    throw RefusedError("TR832",
                       fmt::format("{} answers {}, which is no answer of the receiver's own", display_, answer.status),
                       "redirects are not followed: write the address that the receiver has now");
  if (answer.status == 0)
    throw sinks::BusyTarget("TR831", fmt::format("no answer from {}: {}", display_, answer.failure),
                            "is the receiver running, and is the address right?", answer.retry_after);
  throw sinks::BusyTarget("TR833", fmt::format("{} answers {}", display_, answer.status),
                          "look at the receiver's own log; it is tried again", answer.retry_after);
}

}  // namespace tailrace::webhook
