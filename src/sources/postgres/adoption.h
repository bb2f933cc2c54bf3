#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "sources/postgres/slot.h"
#include "sources/postgres/spec.h"

namespace tailrace::postgres {

/// A slot that somebody else made for us, and where we take it over.
struct AdoptedSlot {
  /// Where it stands: what ended above comes from it.
  Lsn confirmed;
  /// A transaction that was prepared below `confirmed` and ends at or below this may come without its content, which an
  /// earlier reader was sent. A copy that begins later has it.
  Lsn adopted_until;
};

/// Why the slot cannot be taken over, as text for people; nothing when it can.
std::optional<std::string> reason_not_to_adopt(Connection& sql, const std::optional<SlotState>& slot);

/// Takes the slot of the spec over as it stands; changes nothing at the server. Of a slot with two-phase decoding the
/// content of what is prepared now may have been sent to somebody else, so it waits until that has ended; meanwhile
/// `waiting` is called about once a second. Throws RefusedError (TR111), RetryError (TR127) on a stop request.
AdoptedSlot adopt_slot(Connection& sql, const SourceSpec& spec, std::stop_token stop,
                       const std::function<void()>& waiting);

}  // namespace tailrace::postgres
