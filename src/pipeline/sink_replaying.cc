// How dead letters become changes again, between two batches.

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

#include "base/crash_point.h"
#include "base/error.h"
#include "base/log.h"
#include "pipeline/dead_letters.h"
#include "pipeline/pipeline.h"
#include "pipeline/sink_runner.h"

namespace tailrace::pipeline {

using std::chrono::milliseconds;

LettersReplayed Pipeline::replay(const std::string& sink, LetterOrder order, milliseconds timeout) {
  return runner(sink).replay(std::move(order), timeout);
}

LettersReplayed SinkRunner::replay(LetterOrder order, milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (letter_order_)
    throw RetryError("TR691", fmt::format("{} replays letters already", setup_.name), "ask again when that is done");
  letters_replayed_.reset();
  replay_failure_ = nullptr;
  letter_order_ = std::move(order);
  changed_.notify_all();
  const bool done = changed_.wait_for(lock, timeout, [this] {
    return letters_replayed_ || replay_failure_ || state_ == State::kFailed || state_ == State::kStopped;
  });
  letter_order_.reset();
  if (replay_failure_) std::rethrow_exception(std::exchange(replay_failure_, nullptr));
  if (done && letters_replayed_) return *letters_replayed_;
  throw TimeoutError("TR221",
                     fmt::format("{} did not come to replaying letters (it is {})", setup_.name, name_of(state_)),
                     "look at `tailrace status`, and at `tailrace dlq list` for the letters that are left");
}

bool SinkRunner::replay_now() {
  LetterOrder order;
  {
    const std::lock_guard lock(mutex_);
    if (!letter_order_ || unflushed_) return false;
    // A target that was released is taken back first.
    if (released_) return true;
    order = std::move(*letter_order_);
    letter_order_.reset();
  }
  std::exception_ptr failure;
  bool of_the_letters = false;
  try {
    const LettersReplayed replayed = replay_letters(order);
    log::info("sink.replayed", "{}: {} dead letters {}applied, {} followed", setup_.name, replayed.replayed,
              order.rehearsal ? "could be " : "", replayed.followed);
    const std::lock_guard lock(mutex_);
    letters_replayed_ = replayed;
    changed_.notify_all();
    return order.rehearsal;
  } catch (const Error& error) {
    failure = std::current_exception();
    // The sink is well where it is the letters that cannot be; else its runner sees to it.
    of_the_letters =
        dynamic_cast<const RefusedError*>(&error) != nullptr || dynamic_cast<const BadConfigError*>(&error) != nullptr;
  }
  {
    // Who waits gets it alone where nobody else needs it: what both hold is freed by whoever is later.
    const std::lock_guard lock(mutex_);
    replay_failure_ = of_the_letters ? std::exchange(failure, nullptr) : failure;
    changed_.notify_all();
  }
  if (failure) std::rethrow_exception(failure);
  return true;
}

std::vector<KeptLetter> SinkRunner::replay_chain(std::vector<KeptLetter> chain, const LetterOrder& order,
                                                 DeadLetters& shelf) {
  while (true) {
    sinks::LetterReplay replay{.letters = {}, .rehearsal = order.rehearsal};
    for (const KeptLetter& kept : chain) {
      const bool named = std::ranges::find(order.ids, kept.id) != order.ids.end();
      replay.letters.push_back({kept.letter, named ? order.edits : std::vector<sinks::ColumnEdit>()});
    }
    try {
      sink_->replay(replay);
      return chain;
    } catch (const sinks::LetterSuperseded& superseded) {
      // Where it is all that there is, its number is told.
      if (chain.size() == 1)
        throw RefusedError(superseded.code(), fmt::format("dead letter {}: {}", chain.front().id, superseded.what()),
                           superseded.remedy());
      chain.erase(chain.begin() + static_cast<std::ptrdiff_t>(superseded.at()));
      sink_->open();
    } catch (const sinks::LetterRefused& refused) {
      const KeptLetter& kept = chain[refused.at()];
      if (!order.rehearsal) shelf.note_attempt(kept.id);
      throw RefusedError(refused.code(), fmt::format("dead letter {}: {}", kept.id, refused.what()), refused.remedy());
    }
  }
}

LettersReplayed SinkRunner::replay_letters(const LetterOrder& order) {
  DeadLetters shelf(catalog_.path());
  LettersReplayed replayed;
  std::set<std::uint64_t> done;
  for (const std::uint64_t id : order.ids) {
    if (done.contains(id)) continue;
    const std::vector<KeptLetter> all = shelf.chain(setup_.name, id);
    for (const KeptLetter& kept : all) done.insert(kept.id);
    const std::vector<KeptLetter> chain = replay_chain(all, order, shelf);
    replayed.superseded += all.size() - chain.size();
    LetterChoice choice{.sink = setup_.name, .ids = {}};
    for (const KeptLetter& kept : chain) {
      const bool named = std::ranges::find(order.ids, kept.id) != order.ids.end();
      ++(named ? replayed.replayed : replayed.followed);
      choice.ids.push_back(kept.id);
    }
    if (order.rehearsal) {
      // The next ones are tried on what is there.
      sink_->open();
      continue;
    }
    flush();
    TAILRACE_CRASH_POINT("letters_replayed");
    shelf.drop(choice);
  }
  return replayed;
}

}  // namespace tailrace::pipeline
