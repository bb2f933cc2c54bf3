#include "pipeline/delivery_file.h"

#include <string>
#include <utility>

namespace tailrace::pipeline {
namespace {

using config::FieldDoc;
using config::Node;
using config::Object;
using config::Reading;

constexpr std::int64_t kMost = 1'000'000'000;

/// 0 stands for no bound.
struct BatchDraft {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::chrono::milliseconds wait{0};
};

Object<BatchDraft> batch_object() {
  Object<BatchDraft> batch(
      "How much is gathered before it is made durable; the first bound that is reached counts. Transactions stay "
      "whole. Kinds of targets that want few large batches have a bound of their own, which this replaces.");
  batch.integer("rows", &BatchDraft::rows, 0, kMost, "Changes; 0: any number.")
      .size("bytes", &BatchDraft::bytes, "Bytes of changes; 0: any number.")
      .duration("wait", &BatchDraft::wait,
                "How long after the first one; 0: what arrived while the target was busy is a batch.");
  return batch;
}

Object<RetryRules> retry_object() {
  Object<RetryRules> retry("How the sink goes on after errors that may pass.");
  retry
      .integer("attempts", &RetryRules::attempts, 0, kMost,
               "Failures in a row after which the sink has failed, its cursor where it was; 0: it never gives up.")
      .duration("first", &RetryRules::first, "The pause after the first failure; each one after it doubles.")
      .duration("longest", &RetryRules::longest, "The longest pause.");
  return retry;
}

Object<RetryRules> breaker_object() {
  Object<RetryRules> breaker("When a target that fails is left alone.");
  breaker.integer("failures", &RetryRules::failures, 1, kMost, "Failures in a row after which it is.")
      .duration("recovery", &RetryRules::recovery, "For how long; then one attempt shows how it is.");
  return breaker;
}

/// Beside the kind of a sink, and read with it.
Object<Delivery> letters_object() {
  Object<Delivery> letters("");
  letters.choice<LaterChanges>(
      "dead_letters", &Delivery::later, {{"hold", LaterChanges::kHold}, {"apply", LaterChanges::kApply}},
      "What becomes of later changes of a row with a dead letter. `hold`: they are dead letters, "
      "too, and the row stands still. `apply`: they are applied, and a letter that is older than "
      "one of them is not replayed any more.");
  return letters;
}

template <typename S>
FieldDoc beside(const std::string& name, const Object<S>& object) {
  FieldDoc field;
  field.name = name;
  field.doc = object.doc()->doc;
  field.type = "map";
  field.below = object.doc();
  field.beside = true;
  return field;
}

}  // namespace

std::vector<FieldDoc> delivery_fields() {
  FieldDoc letters = letters_object().doc()->fields.front();
  letters.beside = true;
  return {beside("batch", batch_object()), beside("retry", retry_object()), beside("breaker", breaker_object()),
          letters};
}

Delivery read_delivery(const Node& sink, const Reading& reading, Delivery of_kind) {
  Delivery delivery = of_kind;
  if (const Node* node = sink.find("batch")) {
    BatchDraft draft;
    batch_object().read(draft, *node, reading);
    delivery.gather = {};
    if (draft.rows > 0) delivery.gather.rows = draft.rows;
    if (draft.bytes > 0) delivery.gather.bytes = draft.bytes;
    delivery.gather.wait = draft.wait;
  }
  if (const Node* node = sink.find("retry")) retry_object().read(delivery.retry, *node, reading);
  if (const Node* node = sink.find("breaker")) breaker_object().read(delivery.retry, *node, reading);
  for (const config::Entry& entry : sink.entries) {
    if (entry.key != "dead_letters") continue;
    Node alone = sink;
    alone.entries = {entry};
    letters_object().read(delivery, alone, reading);
  }
  return delivery;
}

}  // namespace tailrace::pipeline
