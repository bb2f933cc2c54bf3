#include "server/metric_families.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tailrace::server {
namespace {

std::string escaped(std::string_view value) {
  std::string text;
  text.reserve(value.size());
  for (const char c : value) {
    switch (c) {
      case '\\': text += "\\\\"; break;
      case '"': text += "\\\""; break;
      case '\n': text += "\\n"; break;
      default: text += c;
    }
  }
  return text;
}

std::string value_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

void MetricFamilies::add(std::string_view type, std::string_view name, std::string_view help, const Labels& labels,
                         double value) {
  auto place = places_.find(name);
  if (place == places_.end()) {
    place = places_.emplace(name, families_.size()).first;
    families_.push_back({fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type), {}});
  }
  std::string& samples = families_[place->second].samples;
  samples += name;
  for (const auto& [label, text] : labels) {
    samples += &label == &labels.front().first ? '{' : ',';
    samples += fmt::format("{}=\"{}\"", label, escaped(text));
  }
  samples += fmt::format("{} {}\n", labels.empty() ? "" : "}", value_text(value));
}

void MetricFamilies::state(std::string_view name, std::string_view help, const Labels& labels,
                           const std::vector<std::string_view>& states, std::string_view holds) {
  for (const std::string_view state : states) {
    Labels with_state = labels;
    with_state.emplace_back("state", state);
    gauge(name, help, with_state, state == holds ? 1 : 0);
  }
}

std::string MetricFamilies::text() const {
  std::string text;
  for (const Family& family : families_) text += family.head + family.samples;
  return text;
}

}  // namespace tailrace::server
