#include "sinks/lake/joda_pattern.h"

#include <date/date.h>
#include <date/iso_week.h>
#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace tailrace::lake {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kLetters = "GCYxwedEyDMaKhHkmsSzZ";
constexpr std::array<const char*, 12> kMonths = {"January", "February", "March",     "April",   "May",      "June",
                                                 "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<const char*, 7> kDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                              "Friday", "Saturday", "Sunday"};

[[noreturn]] void refuse(const std::string& what, const std::string& remedy) {
  throw BadConfigError("TR864", what, remedy);
}

/// Texts of four letters and more are whole, others have three.
std::string name(const char* whole, std::size_t count) { return count >= 4 ? whole : std::string(whole, 3); }

std::string number(std::int64_t value, std::size_t count) { return fmt::format("{:0{}}", value, count); }

/// Two letters: the last two digits.
std::string year(std::int64_t value, std::size_t count) {
  return count == 2 ? number(((value % 100) + 100) % 100, 2) : number(value, count);
}

struct Moment {
  date::year_month_day day{};
  date::sys_days days{};
  date::hh_mm_ss<milliseconds> time;
  std::int64_t utc = 0;
  std::int64_t local = 0;
};

std::string offset(const Moment& moment, std::size_t count, const Zone& zone) {
  if (count >= 3) return zone.name();
  const std::int64_t minutes = (moment.local - moment.utc) / 60000;
  const std::int64_t size = minutes < 0 ? -minutes : minutes;
  return fmt::format("{}{:02}{}{:02}", minutes < 0 ? '-' : '+', size / 60, count == 2 ? ":" : "", size % 60);
}

std::string fraction(const Moment& moment, std::size_t count) {
  std::string digits = number(moment.time.subseconds().count(), 3);
  digits.resize(count, '0');
  return digits;
}

std::string print_date(char letter, std::size_t count, const Moment& moment) {
  const int of_year = static_cast<int>(moment.day.year());
  const unsigned of_month = static_cast<unsigned>(moment.day.month());
  const iso_week::year_weeknum_weekday week(moment.days);
  const unsigned of_week = static_cast<unsigned>(week.weekday());
  // Joda counts the years of an era from 1; without a year 0.
  const int of_era = of_year > 0 ? of_year : 1 - of_year;
  switch (letter) {
    case 'G': return of_year > 0 ? "AD" : "BC";
    case 'C': return number(of_era / 100, count);
    case 'Y': return year(of_era, count);
    case 'y': return year(of_year, count);
    case 'x': return year(static_cast<int>(week.year()), count);
    case 'w': return number(static_cast<unsigned>(week.weeknum()), count);
    case 'e': return number(of_week, count);
    case 'E': return name(kDays.at(of_week - 1), count);
    case 'D': {
      const date::sys_days first = date::sys_days(moment.day.year() / date::January / 1);
      return number((moment.days - first).count() + 1, count);
    }
    case 'M': return count >= 3 ? name(kMonths.at(of_month - 1), count) : number(of_month, count);
    default: return number(static_cast<unsigned>(moment.day.day()), count);
  }
}

std::string print_time(char letter, std::size_t count, const Moment& moment) {
  const std::int64_t hour = moment.time.hours().count();
  switch (letter) {
    case 'a': return hour < 12 ? "AM" : "PM";
    case 'K': return number(hour % 12, count);
    case 'h': return number(hour % 12 == 0 ? 12 : hour % 12, count);
    case 'H': return number(hour, count);
    case 'k': return number(hour == 0 ? 24 : hour, count);
    case 'm': return number(moment.time.minutes().count(), count);
    case 's': return number(moment.time.seconds().count(), count);
    default: return fraction(moment, count);
  }
}

}  // namespace

Zone::Zone(const std::string& name) : name_(name) {
  try {
    zone_ = date::locate_zone(name);
  } catch (const std::runtime_error&) {
    refuse(fmt::format("`timezone: {}` is no zone that this machine knows", name),
           "write a name like UTC or Europe/Berlin, and see that the system's tzdata is installed");
  }
}

std::int64_t Zone::local(std::int64_t utc) const {
  return zone_->to_local(date::sys_time<milliseconds>(milliseconds(utc))).time_since_epoch().count();
}

std::int64_t Zone::utc(std::int64_t local) const {
  return zone_->to_sys(date::local_time<milliseconds>(milliseconds(local)), date::choose::earliest)
      .time_since_epoch()
      .count();
}

std::string Zone::abbreviation(std::int64_t utc) const {
  return zone_->get_info(date::sys_time<milliseconds>(milliseconds(utc))).abbrev;
}

JodaPattern::JodaPattern(const std::string& text, const std::string& locale) {
  const auto add_text = [this](std::string_view more) {
    if (parts_.empty() || parts_.back().letter != 0) parts_.emplace_back();
    parts_.back().text += more;
  };
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\'') {
      const std::size_t end = text.find('\'', at + 1);
      if (end == std::string::npos)
        refuse(fmt::format("`path_format: {}` has a quote that does not end", text), "write text as 'text'");
      add_text(end == at + 1 ? "'" : std::string_view(text).substr(at + 1, end - at - 1));
      at = end + 1;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      if (kLetters.find(c) == std::string_view::npos)
        refuse(fmt::format("`path_format: {}` has the letter {}, which stands for nothing", text, c),
               "write text as 'text', and letters as Joda-Time's DateTimeFormat has them");
      const std::size_t end = std::min(text.find_first_not_of(c, at), text.size());
      parts_.push_back({c, end - at, {}});
      at = end;
    } else {
      add_text({&c, 1});
      ++at;
    }
  }
  for (const Part& part : parts_) {
    const bool names =
        part.letter == 'E' || part.letter == 'a' || part.letter == 'G' || (part.letter == 'M' && part.count >= 3);
    if (names && !locale.starts_with("en"))
      refuse(fmt::format("`path_format: {}` prints names, which are there in English only", text),
             "set `locale` to en, or print numbers");
    if (part.letter == 'z' && part.count >= 4)
      refuse(fmt::format("`path_format: {}` asks for the long name of a zone", text), "write z, Z or ZZZ");
  }
}

std::string JodaPattern::print(std::int64_t utc, const Zone& zone) const {
  Moment moment;
  moment.utc = utc;
  moment.local = zone.local(utc);
  const date::sys_time<milliseconds> local{milliseconds(moment.local)};
  moment.days = date::floor<date::days>(local);
  moment.day = moment.days;
  moment.time = date::hh_mm_ss<milliseconds>(local - moment.days);
  std::string out;
  for (const Part& part : parts_) {
    if (part.letter == 0) {
      out += part.text;
    } else if (part.letter == 'z') {
      out += zone.abbreviation(utc);
    } else if (part.letter == 'Z') {
      out += offset(moment, part.count, zone);
    } else if (std::string_view("aKhHkmsS").find(part.letter) != std::string_view::npos) {
      out += print_time(part.letter, part.count, moment);
    } else {
      out += print_date(part.letter, part.count, moment);
    }
  }
  return out;
}

}  // namespace tailrace::lake
