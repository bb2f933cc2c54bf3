#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "sinks/lake/commit_record.h"
#include "sinks/lake/gathering.h"
#include "sinks/lake/lake_target.h"
#include "sinks/lake/store.h"
#include "sinks/row_target.h"

namespace tailrace::lake {

/// Gathers rows in objects and stages them, one for each table, version and day, until a step publishes them.
class LakeWriter final : public sinks::RowWriter {
 public:
  /// `target` outlives it.
  explicit LakeWriter(LakeTarget& target);
  ~LakeWriter() override;

  void write(std::span<const sinks::RowChange> changes, const sinks::StateChanges& state) override;
  void finish() override;
  bool wants_maintenance() const override { return !inside_ && target_.wants_to_merge(); }
  void maintain() override {
    if (!inside_) target_.merge();
  }

 private:
  void stage(GatheredRows& gathered);

  LakeTarget& target_;
  const std::unique_ptr<Store> store_;
  Gathering gathering_;
  std::vector<LakeObject> staged_;
  std::map<std::uint32_t, Seq> through_;
  /// Rows came since the last step.
  bool inside_ = false;
};

}  // namespace tailrace::lake
