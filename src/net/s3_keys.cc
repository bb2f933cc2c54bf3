#include "net/s3_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/error.h"

namespace tailrace::net {
namespace {

using std::chrono::system_clock;

/// How long before their end keys are fetched anew; of short-lived ones a quarter of their life.
constexpr std::chrono::minutes kAhead{5};
constexpr int kPartOfLife = 4;
/// Until a fetch that failed is tried again, while the keys hold.
constexpr std::chrono::seconds kPause{10};

bool take_number(std::string_view& text, std::size_t digits, char behind, int& value) {
  if (text.size() <= digits || text[digits] != behind) return false;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + digits, value);
  if (failed != std::errc() || end != text.data() + digits) return false;
  text.remove_prefix(digits + 1);
  return true;
}

}  // namespace

std::optional<system_clock::time_point> read_time(std::string_view text) {
  std::array<int, 6> n{};
  static constexpr std::array<std::pair<std::size_t, char>, 5> kParts = {
      {{4, '-'}, {2, '-'}, {2, 'T'}, {2, ':'}, {2, ':'}}};
  for (std::size_t part = 0; part < kParts.size(); ++part)
    if (!take_number(text, kParts.at(part).first, kParts.at(part).second, n.at(part))) return std::nullopt;
  if (!text.ends_with('Z')) return std::nullopt;
  std::string_view seconds = text;
  if (!take_number(seconds, 2, '.', n[5]) && !(seconds.size() == 3 && take_number(seconds, 2, 'Z', n[5])))
    return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year(n[0]), std::chrono::month(static_cast<unsigned>(n[1])),
                                        std::chrono::day(static_cast<unsigned>(n[2]))};
  if (!day.ok() || n[3] > 23 || n[4] > 59 || n[5] > 60) return std::nullopt;
  return std::chrono::sys_days(day) + std::chrono::hours(n[3]) + std::chrono::minutes(n[4]) +
         std::chrono::seconds(n[5]);
}

S3Keys::S3Keys(Fetch fetch, Clock clock) : fetch_(std::move(fetch)), clock_(std::move(clock)) {}

void S3Keys::take(LentKeys lent) {
  kept_ = std::move(lent);
  if (!kept_->until) return;
  const auto now = clock_();
  const system_clock::duration life = *kept_->until - now;
  next_ = *kept_->until - std::min<system_clock::duration>(kAhead, life / kPartOfLife);
}

S3Credentials S3Keys::current() {
  const std::lock_guard lock(mutex_);
  if (!fetch_ || (kept_ && (!kept_->until || clock_() < next_))) return kept_->keys;
  if (!kept_ || clock_() >= *kept_->until) {
    take(fetch_());
    return kept_->keys;
  }
  try {
    take(fetch_());
  } catch (const RetryError&) {
    next_ = clock_() + kPause;
  }
  return kept_->keys;
}

bool S3Keys::renew(const S3Credentials& used) {
  const std::lock_guard lock(mutex_);
  if (!fetch_) return false;
  if (!kept_ || kept_->keys == used) take(fetch_());
  return kept_->keys != used;
}

}  // namespace tailrace::net
