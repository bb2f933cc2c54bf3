#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tailrace::server {

/// Name and value, in the order in which they are written.
using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

/// Collects samples and writes them in Prometheus' text form: what has one name stands together, under its HELP and
/// TYPE lines, in the order in which the names came first. One thread.
class MetricFamilies {
 public:
  void gauge(std::string_view name, std::string_view help, const Labels& labels, double value) {
    add("gauge", name, help, labels, value);
  }
  /// `name` ends in _total.
  void counter(std::string_view name, std::string_view help, const Labels& labels, double value) {
    add("counter", name, help, labels, value);
  }
  /// A histogram: observations up to each bound (not cumulated), all of them, and their sum.
  void histogram(std::string_view name, std::string_view help, const Labels& labels, std::span<const double> bounds,
                 std::span<const std::uint64_t> counts, std::uint64_t total, double sum);
  /// One sample for each of `states`: 1 for the one that holds, 0 for the others.
  void state(std::string_view name, std::string_view help, const Labels& labels,
             const std::vector<std::string_view>& states, std::string_view holds);

  std::string text() const;

 private:
  struct Family {
    std::string head;
    std::string samples;
  };

  void add(std::string_view type, std::string_view name, std::string_view help, const Labels& labels, double value);
  std::string& samples_of(std::string_view type, std::string_view name, std::string_view help);

  std::vector<Family> families_;
  std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace tailrace::server
