#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace date {
class time_zone;
}

namespace tailrace::lake {

/// A zone of the IANA database, as the machine has it. A value; any thread.
class Zone {
 public:
  /// Throws BadConfigError TR864 for a name that the machine does not know.
  explicit Zone(const std::string& name);

  const std::string& name() const { return name_; }
  /// Milliseconds since 1970-01-01 as the zone's clocks show them at `utc` (milliseconds since then in UTC).
  std::int64_t local(std::int64_t utc) const;
  /// What the clocks showed `local` at, the earlier of two; a time that they skipped: where they went on.
  std::int64_t utc(std::int64_t local) const;
  /// "CET"
  std::string abbreviation(std::int64_t utc) const;

 private:
  std::string name_;
  const date::time_zone* zone_;
};

/// A pattern of Joda-Time's (its documentation, DateTimeFormat), which Kafka's connectors know as `path.format`.
/// Immutable; any thread.
class JodaPattern {
 public:
  JodaPattern() = default;
  /// Names of months and days are English: a pattern that prints them asks for a locale of English. Throws
  /// BadConfigError TR864.
  JodaPattern(const std::string& text, const std::string& locale);

  /// The moment (milliseconds since 1970 in UTC) as the zone's clocks show it.
  std::string print(std::int64_t utc, const Zone& zone) const;

 private:
  struct Part {
    /// 0: `text` stands for itself.
    char letter = 0;
    std::size_t count = 0;
    std::string text;
  };
  std::vector<Part> parts_;
};

}  // namespace tailrace::lake
