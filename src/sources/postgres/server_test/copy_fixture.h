#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "model/tuple.h"
#include "sources/postgres/postgres_source.h"
#include "sources/postgres/recording_log.h"
#include "sources/postgres/server_test/facts_in_memory.h"
#include "sources/postgres/server_test/private_cluster.h"
#include "sources/postgres/snapshot_copy.h"

namespace tailrace::postgres {

/// Tuples of a copy, from all readers.
struct Collected {
  std::mutex mutex;
  std::vector<std::string> tuples;
  int finished = 0;
};

class Collector : public RowReceiver {
 public:
  explicit Collector(Collected& into) : into_(into) {}
  void take(CopiedRows& rows) override {
    ByteReader in(rows.tuples);
    const std::lock_guard lock(into_.mutex);
    for (std::uint64_t i = 0; i < rows.count; ++i) into_.tuples.emplace_back(measure_tuple(in).bytes());
    EXPECT_TRUE(in.empty());
  }
  void finish() override {
    const std::lock_guard lock(into_.mutex);
    ++into_.finished;
  }

 private:
  Collected& into_;
};

inline std::string text_of(const std::string& tuple, std::size_t column) {
  auto it = TupleView(tuple).begin();
  for (std::size_t i = 0; i < column; ++i) it.next();
  return std::string(it.next().bytes);
}

/// A source on a database of its own.
class CopyFixture : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(PrivateCluster::instance().running()) << kNoServer;
    PrivateCluster::instance().create_database("copy");
    sql = PrivateCluster::instance().connect("copy");
  }
  Rows run(const std::string& statement) { return sql->query(statement, "testing"); }
  SourceSpec spec() const { return PrivateCluster::instance().spec("copy"); }

  void make_source(const SourceSpec& with) {
    source = std::make_unique<PostgresSource>(with, memory, log);
    source->prepare({});
  }
  void start_streaming() {
    streaming = std::jthread([this](std::stop_token token) { source->stream(token); });
  }
  void wait_for_units(std::size_t count) {
    for (int i = 0; i < 1000 && log.unit_count() < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_GE(log.unit_count(), count);
  }
  static const TableToCopy& table(const sources::Copy& copy, const std::string& name) {
    for (const TableToCopy& candidate : copy.tables())
      if (candidate.relation->name == name) return candidate;
    throw DefectError("no such table in the copy: " + name);
  }
  std::vector<std::string> rows_of(sources::Copy& copy, const std::string& name) {
    Collected collected;
    CopyProgress progress;
    copy.copy(table(copy, name), [&] { return std::make_unique<Collector>(collected); }, progress, {});
    EXPECT_EQ(progress.rows, collected.tuples.size());
    EXPECT_GE(collected.finished, 1);
    return collected.tuples;
  }

  std::unique_ptr<Connection> sql;
  FactsInMemory memory;
  RecordingLog log;
  std::unique_ptr<PostgresSource> source;
  std::jthread streaming;
};

}  // namespace tailrace::postgres
