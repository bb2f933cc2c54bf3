#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sinks/local_state.h"
#include "sinks/row_target.h"
#include "sinks/webhook/delivery_order.h"
#include "sinks/webhook/http_client.h"
#include "sinks/webhook/request_form.h"
#include "sinks/webhook/spec.h"

namespace tailrace::webhook {

/// Streamed changes that were delivered since the state was last written: after an error they come again, and are not
/// sent again. It is only a remedy against needless requests: what it has forgotten is sent with the key it had. Owned
/// by the target, used by the thread of its sink.
class Delivered {
 public:
  void add(const Position& position) {
    if (places_.size() >= kMost) places_.clear();
    places_.insert(position);
  }
  bool contains(const sinks::RowChange& change) const {
    return change.operation != sinks::RowOperation::kCopied && places_.contains(change.position);
  }
  void clear() { places_.clear(); }

 private:
  static constexpr std::size_t kMost = 100'000;
  std::set<Position> places_;
};

/// Delivers changes by HTTP requests, several at a time (see RowWriter).
class WebhookWriter final : public sinks::RowWriter {
 public:
  /// All of them outlive it.
  WebhookWriter(const WebhookSpec& spec, sinks::LocalState& state, Delivered& delivered);
  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;

 private:
  /// One write on its way.
  struct Work;
  /// What one request carries: changes by their places, and their common URL and headers.
  struct Parcel {
    std::vector<std::size_t> places;
    std::string key;
    HttpRequest request;
  };
  const RequestForm& form_of(const Relation& relation);
  /// False: no change may go now.
  bool start_next(Work& work);
  void start(Work& work, Parcel parcel);
  /// Puts a change into a parcel of its own, or says that it is refused.
  std::optional<Parcel> parcel_of(Work& work, std::size_t at);
  void fill_up(Work& work, Parcel& parcel);
  void see(Work& work, const HttpAnswer& answer);
  [[noreturn]] void give_up(const Work& work) const;

  const WebhookSpec& spec_;
  sinks::LocalState& state_;
  Delivered& delivered_;
  HttpClient client_;
  const std::string display_;
  /// Tells copied rows of this writer, by a running number, from equal ones.
  const std::string run_;
  std::uint64_t copied_ = 0;
  /// Of one write.
  std::unordered_map<const Relation*, std::unique_ptr<RequestForm>> forms_;
};

}  // namespace tailrace::webhook
