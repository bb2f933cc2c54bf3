#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

#include "sinks/sink.h"
#include "sources/source.h"

namespace tailrace::pipeline {

/// What somebody wants copied again.
struct CopyRequest {
  sources::TableName table;
  /// Only rows for which this holds; empty: all.
  std::string where = {};

  bool operator==(const CopyRequest&) const = default;
};

/// Reads one table from the source, on threads of its own, while the sink goes on with the stream: first its snapshot,
/// then, when the sink has made a place for the rows, the rows. Owned by a sink's runner and used by its thread.
class Recopy {
 public:
  using Begin = std::function<std::unique_ptr<sources::Copy>(std::stop_token stop, const sources::TableName& table)>;

  /// `begin` is called on the reading thread and outlives this.
  explicit Recopy(Begin begin) : begin_(std::move(begin)) {}
  Recopy(const Recopy&) = delete;
  Recopy& operator=(const Recopy&) = delete;

  enum class Step : std::uint8_t {
    kNone,
    /// At work; nothing to do for the runner.
    kAtWork,
    /// The snapshot is there: read() is next.
    kSnapshot,
    /// All rows were given to the receivers.
    kRead,
  };
  /// Throws what failed on the reading thread; it is then as after drop().
  Step look();

  /// What is being copied, from begin() to drop().
  const std::optional<CopyRequest>& request() const { return request_; }
  /// Everything up to here is in the copy.
  const Cursor& from() const { return from_; }

  /// `from`: the log's durable end now.
  void begin(const CopyRequest& request, const Cursor& from);
  /// The table as the snapshot shows it; null when it is not published. REQUIRES: kSnapshot.
  const sources::TableToCopy* found() const;
  /// REQUIRES: kSnapshot.
  void read(sinks::SidePlace place, sources::CopyProgress& progress);
  /// REQUIRES: kRead.
  const CopiedTable& copied() const { return copied_; }
  /// Gives up what is under way.
  void drop();

 private:
  void start(Step then, std::function<void(std::stop_token stop)> work);

  const Begin begin_;
  std::optional<CopyRequest> request_;
  Cursor from_;
  // Written by the thread before `done_`.
  std::unique_ptr<sources::Copy> copy_;
  CopiedTable copied_;
  std::exception_ptr failure_;
  std::atomic<bool> done_ = false;
  Step then_ = Step::kNone;
  std::jthread thread_;
};

}  // namespace tailrace::pipeline
