#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/small_objects.h"
#include "sinks/lake/spec.h"
#include "vectors/parquet_rows.h"

namespace tailrace::lake {

/// What one merge makes: the objects that go, and the one that has all their rows.
struct Merged {
  std::vector<std::string> replaced;
  /// Where the small ones were noted.
  std::string group;
  LakeObject object;
  /// Of SmallObject.
  std::uint64_t bytes = 0;
  std::uint32_t level = 0;
};

/// The bytes of the header of a CSV file, with its line's end.
std::size_t csv_header_size(std::string_view bytes);

/// Merges small objects beside the stream (docs/lake.md). Owned by the target, on the sink's thread; one merge at a
/// time runs on a thread of its own, with a connection of its own.
class Compactor {
 public:
  explicit Compactor(const LakeSpec& spec) : spec_(spec) {}
  ~Compactor();
  Compactor(const Compactor&) = delete;
  Compactor& operator=(const Compactor&) = delete;

  /// Begins to merge the group that is due, when none is under way. `engine`: for Parquet.
  void start(const SmallObjects& small, const std::shared_ptr<vectors::ParquetEngine>& engine);
  /// Waits for the merge that is under way. What it made is nobody's and goes, unless that fails, which the log says:
  /// then it goes when the lake is opened again. Throws nothing but std::bad_alloc, when there is no room for that
  /// line.
  void drop();
  /// Whether a merge is complete, or a group is due.
  bool has_something(const SmallObjects& small) const;
  /// The group that is merged, or was last.
  const std::string& group() const { return group_; }
  /// What became of the merge; nothing while it is under way. Throws what stopped it.
  std::optional<Merged> take();

 private:
  /// Why the files of the group are not merged.
  void tell(const char* reason) const;

  const LakeSpec& spec_;
  std::future<Merged> merge_;
  std::string group_;
};

}  // namespace tailrace::lake
