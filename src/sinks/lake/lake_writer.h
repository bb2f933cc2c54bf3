#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/gathering.h"
#include "sinks/lake/store.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

class LakeTarget;

/// Gathers rows in objects and stages them, one for each table, version and day, until a step publishes them.
class LakeWriter final : public sinks::RowWriter {
 public:
  /// `target` outlives it.
  explicit LakeWriter(LakeTarget& target);
  ~LakeWriter() override;

  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;
  void finish() override;

 private:
  void stage(GatheredRows& gathered);

  LakeTarget& target_;
  const std::unique_ptr<Store> store_;
  Gathering gathering_;
  std::vector<LakeObject> staged_;
  std::map<std::uint32_t, Seq> through_;
};

}  // namespace tailrace::lake
