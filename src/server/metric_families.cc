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

std::string sample(std::string_view name, const Labels& labels, double value) {
  std::string text(name);
  for (const auto& [label, of] : labels) {
    text += &label == &labels.front().first ? '{' : ',';
    text += fmt::format("{}=\"{}\"", label, escaped(of));
  }
  return text + fmt::format("{} {}\n", labels.empty() ? "" : "}", value_text(value));
}

}  // namespace

std::string& MetricFamilies::samples_of(std::string_view type, std::string_view name, std::string_view help) {
  auto place = places_.find(name);
  if (place == places_.end()) {
    place = places_.emplace(name, families_.size()).first;
    families_.push_back({fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type), {}});
  }
  return families_[place->second].samples;
}

void MetricFamilies::add(std::string_view type, std::string_view name, std::string_view help, const Labels& labels,
                         double value) {
  samples_of(type, name, help) += sample(name, labels, value);
}

void MetricFamilies::histogram(std::string_view name, std::string_view help, const Labels& labels,
                               std::span<const double> bounds, std::span<const std::uint64_t> counts,
                               std::uint64_t total, double sum) {
  std::string& samples = samples_of("histogram", name, help);
  const std::string bucket = std::string(name) + "_bucket";
  const auto add_bucket = [&](const std::string& bound, std::uint64_t observations) {
    Labels with_bound = labels;
    with_bound.emplace_back("le", bound);
    samples += sample(bucket, with_bound, static_cast<double>(observations));
  };
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) add_bucket(value_text(bounds[i]), below += counts[i]);
  add_bucket("+Inf", total);
  samples += sample(std::string(name) + "_sum", labels, sum);
  samples += sample(std::string(name) + "_count", labels, static_cast<double>(total));
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
