#include "sinks/lake/small_objects.h"

#include <algorithm>
#include <utility>

namespace tailrace::lake {

std::span<const SmallObject> SmallGroup::run(std::size_t files) const {
  for (std::size_t begin = 0; begin < objects.size();) {
    std::size_t end = begin;
    while (end < objects.size() && objects[end].level == objects[begin].level) ++end;
    if (end - begin >= files) return std::span(objects).subspan(begin, files);
    begin = end;
  }
  return {};
}

bool SmallGroup::replace(const std::vector<std::string>& paths, SmallObject merged, std::uint64_t most) {
  const auto first = std::ranges::find(objects, paths.front(), &SmallObject::path);
  if (static_cast<std::size_t>(objects.end() - first) < paths.size()) return false;
  const auto last = first + static_cast<std::ptrdiff_t>(paths.size());
  if (!std::equal(first, last, paths.begin(),
                  [](const SmallObject& object, const std::string& path) { return object.path == path; }))
    return false;
  if (merged.bytes >= most) {
    objects.erase(objects.begin(), last);
    return true;
  }
  *first = std::move(merged);
  objects.erase(first + 1, last);
  return true;
}

}  // namespace tailrace::lake
