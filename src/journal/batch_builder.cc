#include "journal/batch_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "pgoutput/messages.h"

namespace tailrace::journal {
namespace {

/// Counts are read from disk: no memory is taken on their word alone.
constexpr std::uint64_t kReserveAtMost = 200'000;

}  // namespace

BatchBuilder::BatchBuilder(Relations& relations)
    : relations_(relations), batch_(std::make_unique<ChangeBatch>()), number_(relations.next_batch()) {}

void BatchBuilder::begin(const Transaction& transaction, std::uint64_t first_ordinal, std::uint64_t expected) {
  batch_->transactions.push_back(transaction);
  auto& changes = batch_->changes;
  const std::size_t need = changes.size() + std::min(expected, kReserveAtMost);
  if (need > changes.capacity()) changes.reserve(std::max(need, changes.capacity() * 2));
  ordinal_ = first_ordinal;
}

const Relation* BatchBuilder::known(Oid oid) {
  Relations::Entry* entry = relations_.find(oid);
  if (entry == nullptr) {
    throw BadDataError("TR501", fmt::format("a change names the relation {} without its description", oid.value()),
                       "the journal is damaged or written by a defective program");
  }
  if (entry->batch != number_) {
    entry->batch = number_;
    batch_->relations.push_back(entry->relation);
  }
  return entry->relation.get();
}

Change& BatchBuilder::add(ChangeKind kind) {
  Change& change = batch_->changes.emplace_back();
  change.kind = kind;
  change.transaction = static_cast<std::uint32_t>(batch_->transactions.size() - 1);
  change.ordinal = ordinal_++;
  return change;
}

void BatchBuilder::message(ByteView message) {
  batch_->bytes += message.size();
  switch (pgoutput::type_of(message)) {
    case pgoutput::MessageType::kInsert:
    case pgoutput::MessageType::kUpdate:
    case pgoutput::MessageType::kDelete: {
      const pgoutput::RowChange row = pgoutput::parse_row_change(message);
      Change& change = add(row.kind);
      change.old_kind = row.old_kind;
      change.relation = known(row.relation);
      change.old_row = row.old_row;
      change.new_row = row.new_row;
      return;
    }
    case pgoutput::MessageType::kTruncate: {
      const pgoutput::Truncate truncate = pgoutput::parse_truncate(message);
      for (const Oid oid : truncate.relations) {
        Change& change = add(ChangeKind::kTruncate);
        change.truncate_cascade = truncate.cascade;
        change.truncate_restart_identity = truncate.restart_identity;
        change.relation = known(oid);
      }
      return;
    }
    case pgoutput::MessageType::kMessage: {
      const pgoutput::LogicalMessage logical = pgoutput::parse_message(message);
      Change& change = add(ChangeKind::kMessage);
      change.message_prefix = logical.prefix;
      change.message_content = logical.content;
      return;
    }
    case pgoutput::MessageType::kDescription:
      add(ChangeKind::kDescription).relation = known(pgoutput::parse_description(message));
      return;
    default: return;
  }
}

}  // namespace tailrace::journal
