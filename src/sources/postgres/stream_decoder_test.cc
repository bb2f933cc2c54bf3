#include "sources/postgres/stream_decoder.h"

#include <gtest/gtest.h>

#include "sources/postgres/recording_log.h"
#include "sources/postgres/scripted_stream.h"

namespace tailrace::postgres {
namespace {

using namespace script;  // the vocabulary of these tests

class StreamDecoderTest : public testing::Test {
 protected:
  StreamDecoder& decoder() {
    if (!decoder_) connect();
    return *decoder_;
  }
  /// A new connection, which the server begins after `start`.
  void connect(Lsn start = Lsn(0), Lsn adopted_until = Lsn(0)) {
    decoder_ = std::make_unique<StreamDecoder>(
        log, resolve, Overlap(log, start), [this](const RetryError&) { ++waits; }, adopted_until);
  }
  void take(std::vector<std::string> messages) {
    for (std::string& message : messages) decoder().take(message);
  }
  void plain(std::uint64_t lsn, std::uint32_t xid, const std::string& value) {
    take({begin(lsn, xid), relation(1, "t"), insert(1, value), commit(lsn)});
  }
  void prepared(std::uint64_t lsn, std::uint32_t xid, const std::string& gid, const std::string& value) {
    take({prepare('b', lsn, xid, gid), relation(1, "t"), insert(1, value), prepare('P', lsn, xid, gid)});
  }
  std::string value_of(std::size_t unit, std::size_t change) const {
    const std::string message = log.units().at(unit).changes.at(change).message;
    auto fields = pgoutput::parse_row_change(message).new_row.begin();
    return std::string(fields.next().bytes);
  }
  static std::string code_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return "";
  }

  RecordingLog log;
  int waits = 0;

 private:
  std::unique_ptr<StreamDecoder> decoder_;
};

TEST_F(StreamDecoderTest, interleaved_streamed_transactions_are_kept_apart_and_logged_in_commit_order) {
  take({stream_start(10, true), with_sub_xid(relation(1, "t"), 10), with_sub_xid(insert(1, "a1"), 10), stream_stop()});
  take({stream_start(20, true), with_sub_xid(relation(1, "t"), 20), with_sub_xid(insert(1, "b1"), 20), stream_stop()});
  plain(100, 5, "between");
  take({stream_start(10, false), with_sub_xid(insert(1, "a2"), 10), stream_stop()});
  take({stream_commit(20, 200), stream_commit(10, 300)});
  ASSERT_EQ(log.unit_count(), 3u);
  EXPECT_EQ(value_of(0, 0), "between");
  EXPECT_EQ(value_of(1, 0), "b1");
  EXPECT_EQ(value_of(2, 0), "a1");
  EXPECT_EQ(value_of(2, 1), "a2");
  EXPECT_EQ(decoder().open_spills(), 0u);
}

TEST_F(StreamDecoderTest, an_abort_of_a_sub_transaction_takes_its_own_changes_only) {
  take({stream_start(10, true), with_sub_xid(relation(1, "t"), 10), with_sub_xid(insert(1, "kept"), 10),
        with_sub_xid(insert(1, "gone"), 11), with_sub_xid(insert(1, "kept too"), 12), stream_stop()});
  take({stream_abort(10, 11), stream_commit(10, 100)});
  ASSERT_EQ(log.units().at(0).changes.size(), 2u);
  EXPECT_EQ(value_of(0, 1), "kept too");
}

TEST_F(StreamDecoderTest, an_abort_of_the_whole_transaction_leaves_nothing_and_unknown_ones_are_normal) {
  take({stream_start(10, true), with_sub_xid(insert(1, "gone"), 10), stream_stop()});
  take({stream_abort(10, 10), stream_abort(77, 77), stream_abort(77, 78)});
  EXPECT_EQ(log.unit_count(), 0u);
  EXPECT_EQ(decoder().open_spills(), 0u);
}

TEST_F(StreamDecoderTest, transactions_without_changes_are_not_logged) {
  take({begin(100, 5), commit(100)});
  take({stream_start(10, true), stream_stop(), stream_commit(10, 200)});
  take({stream_start(11, true), with_sub_xid(insert(1, "gone"), 12), stream_stop(), stream_abort(11, 12),
        stream_commit(11, 300)});
  EXPECT_EQ(log.unit_count(), 0u);
  EXPECT_EQ(decoder().passed(), Lsn(308));
}

TEST_F(StreamDecoderTest, what_is_sent_again_is_compared_and_left_out) {
  plain(100, 5, "one");
  plain(200, 6, "two");
  connect();
  plain(100, 5, "one");
  take({stream_start(6, true), with_sub_xid(relation(1, "t"), 6), with_sub_xid(insert(1, "two"), 6), stream_stop(),
        stream_commit(6, 200)});
  plain(300, 7, "three");
  ASSERT_EQ(log.unit_count(), 3u);
  EXPECT_EQ(value_of(2, 0), "three");
}

TEST_F(StreamDecoderTest, relations_of_what_was_left_out_hold_for_what_follows) {
  plain(100, 5, "one");
  connect();
  take({stream_start(5, true), with_sub_xid(relation(1, "told again"), 5), with_sub_xid(insert(1, "one"), 5),
        stream_stop(), stream_commit(5, 100)});
  take({begin(200, 6), insert(1, "two"), commit(200)});
  ASSERT_EQ(log.unit_count(), 2u);
  EXPECT_EQ(log.units()[1].changes[0].relation->name, "told again");
}

TEST_F(StreamDecoderTest, relations_of_a_streamed_transaction_without_changes_hold_for_what_follows) {
  take({stream_start(10, true), with_sub_xid(relation(1, "t"), 10), stream_stop(), stream_commit(10, 100)});
  take({begin(200, 6), insert(1, "two"), commit(200)});
  ASSERT_EQ(log.unit_count(), 1u);
  EXPECT_NE(log.units()[0].changes[0].relation, nullptr);
}

TEST_F(StreamDecoderTest, a_streamed_transactions_newer_relation_is_not_replaced_by_an_older_one) {
  plain(50, 4, "zero");
  connect(Lsn(58));
  take({begin(60, 3), relation(1, "old"), commit(60)});
  take({stream_start(10, true), with_sub_xid(relation(1, "new"), 10), with_sub_xid(insert(1, "x"), 10), stream_stop(),
        stream_commit(10, 100)});
  take({begin(200, 11), insert(1, "y"), commit(200)});
  EXPECT_EQ(log.units().back().changes[0].relation->name, "new");
}

TEST_F(StreamDecoderTest, another_transaction_at_the_same_place_is_a_fork) {
  plain(100, 5, "one");
  connect();
  EXPECT_EQ(code_of([&] { plain(100, 99, "one"); }), "TR117");
}

TEST_F(StreamDecoderTest, a_transaction_that_the_log_lacks_is_a_fork) {
  plain(100, 5, "one");
  plain(200, 6, "two");
  connect();
  plain(100, 5, "one");
  EXPECT_EQ(code_of([&] { plain(150, 7, "extra"); }), "TR117");
}

TEST_F(StreamDecoderTest, a_logged_transaction_that_does_not_come_again_is_a_fork) {
  plain(100, 5, "one");
  plain(200, 6, "two");
  connect();
  plain(200, 6, "two");
  EXPECT_EQ(code_of([&] { plain(300, 7, "three"); }), "TR117");
  connect(Lsn(108));
  plain(200, 6, "two");
  plain(300, 7, "three");
  EXPECT_EQ(log.unit_count(), 3u);
}

TEST_F(StreamDecoderTest, lone_messages_are_units_and_those_of_transactions_belong_to_them) {
  take({logical_message(90, false, "alone")});
  take({begin(100, 5), logical_message(95, true, "inside"), commit(100)});
  ASSERT_EQ(log.unit_count(), 2u);
  EXPECT_EQ(log.units()[0].record.end_lsn, Lsn(90));
  EXPECT_EQ(log.units()[1].changes.size(), 1u);
  connect(Lsn(90));
  take({logical_message(90, false, "alone")});
  EXPECT_EQ(log.unit_count(), 2u);
}

TEST_F(StreamDecoderTest, a_full_log_is_waited_for_without_losing_a_change) {
  log.be_full(3);
  plain(100, 5, "one");
  EXPECT_EQ(waits, 3);
  EXPECT_EQ(log.units().at(0).changes.size(), 1u);
}

TEST_F(StreamDecoderTest, progress_is_not_logged_inside_of_a_transaction) {
  take({begin(100, 5), relation(1, "t"), insert(1, "one")});
  decoder().progress(Lsn(500));
  EXPECT_EQ(log.end().commit_end, Lsn(0));
  take({commit(100)});
  decoder().progress(Lsn(500));
  EXPECT_EQ(log.end().commit_end, Lsn(500));
  take({stream_start(10, true), with_sub_xid(insert(1, "x"), 10), stream_stop()});
  // A streamed transaction in progress does not hold acknowledgement back: the server sends it again.
  decoder().progress(Lsn(600));
  EXPECT_EQ(log.end().commit_end, Lsn(600));
}

TEST_F(StreamDecoderTest, a_prepared_transaction_takes_its_place_when_it_is_committed) {
  prepared(100, 5, "a", "prepared");
  plain(200, 6, "between");
  EXPECT_EQ(decoder().open_spills(), 1u);
  take({commit_prepared(300, 5, "a")});
  ASSERT_EQ(log.unit_count(), 2u);
  EXPECT_EQ(value_of(0, 0), "between");
  EXPECT_EQ(value_of(1, 0), "prepared");
  EXPECT_EQ(log.units()[1].record.end_lsn, Lsn(308));
  EXPECT_EQ(decoder().open_spills(), 0u);
}

TEST_F(StreamDecoderTest, nothing_beyond_a_prepared_transaction_may_be_confirmed) {
  plain(50, 4, "before");
  prepared(100, 5, "a", "prepared");
  prepared(150, 7, "b", "prepared too");
  plain(200, 6, "between");
  EXPECT_EQ(decoder().confirmable(Lsn(208)), Lsn(100));
  EXPECT_EQ(decoder().confirmable(Lsn(58)), Lsn(58));
  take({commit_prepared(300, 5, "a")});
  EXPECT_EQ(decoder().confirmable(Lsn(308)), Lsn(150));
  take({rollback_prepared(400, 7, "b")});
  EXPECT_EQ(decoder().confirmable(Lsn(308)), Lsn(308));
}

TEST_F(StreamDecoderTest, a_prepared_transaction_comes_again_on_the_next_connection) {
  prepared(100, 5, "a", "prepared");
  plain(200, 6, "between");
  connect(Lsn(100));
  prepared(100, 5, "a", "prepared");
  plain(200, 6, "between");
  take({commit_prepared(300, 5, "a")});
  ASSERT_EQ(log.unit_count(), 2u);
  EXPECT_EQ(value_of(1, 0), "prepared");
  connect(Lsn(100));
  prepared(100, 5, "a", "prepared");
  plain(200, 6, "between");
  take({commit_prepared(300, 5, "a")});
  plain(400, 8, "after");
  EXPECT_EQ(log.unit_count(), 3u);
}

TEST_F(StreamDecoderTest, a_prepared_transaction_that_is_rolled_back_leaves_nothing) {
  prepared(100, 5, "a", "gone");
  take({rollback_prepared(200, 5, "a"), rollback_prepared(220, 77, "unknown")});
  prepared(300, 6, "a", "the name again");
  take({commit_prepared(400, 6, "a")});
  ASSERT_EQ(log.unit_count(), 1u);
  EXPECT_EQ(value_of(0, 0), "the name again");
}

TEST_F(StreamDecoderTest, a_streamed_transaction_may_be_prepared_too) {
  take({stream_start(5, true), with_sub_xid(relation(1, "t"), 5), with_sub_xid(insert(1, "kept"), 5),
        with_sub_xid(insert(1, "gone"), 9), stream_stop(), stream_abort(5, 9), prepare('p', 100, 5, "a")});
  EXPECT_EQ(decoder().confirmable(Lsn(500)), Lsn(100));
  take({commit_prepared(300, 5, "a")});
  ASSERT_EQ(log.unit_count(), 1u);
  EXPECT_EQ(log.units()[0].changes.size(), 1u);
}

TEST_F(StreamDecoderTest, a_prepared_transaction_keeps_the_relations_of_its_prepare) {
  plain(50, 4, "tells the relation");
  take({prepare('b', 100, 5, "a"), insert(1, "old form"), prepare('P', 100, 5, "a")});
  take({begin(200, 6), relation(1, "younger"), insert(1, "young form"), commit(200)});
  take({commit_prepared(300, 5, "a")});
  take({begin(400, 7), insert(1, "young form"), commit(400)});
  ASSERT_EQ(log.unit_count(), 4u);
  EXPECT_EQ(log.units()[2].changes[0].relation->name, "t");
  EXPECT_EQ(log.units()[3].changes[0].relation->name, "younger");
}

TEST_F(StreamDecoderTest, a_prepared_transaction_whose_content_somebody_else_was_sent_is_refused) {
  connect(Lsn(0), Lsn(108));
  // Committed before the slot was adopted: the first copy has it.
  take({commit_prepared(100, 5, "a")});
  EXPECT_EQ(log.unit_count(), 0u);
  EXPECT_EQ(code_of([&] { take({commit_prepared(200, 6, "b")}); }), "TR131");
}

TEST_F(StreamDecoderTest, what_was_prepared_before_the_slot_had_two_phases_holds_nothing_back) {
  plain(50, 4, "before");
  connect(Lsn(58));
  prepared(40, 5, "a", "prepared");
  EXPECT_EQ(decoder().confirmable(Lsn(58)), Lsn(58));
  take({commit_prepared(300, 5, "a")});
  EXPECT_EQ(value_of(1, 0), "prepared");
}

TEST_F(StreamDecoderTest, impossible_orders_are_refused) {
  EXPECT_EQ(code_of([&] { take({insert(1, "x")}); }), "TR310");
  EXPECT_EQ(code_of([&] { take({commit(100)}); }), "TR310");
  EXPECT_EQ(code_of([&] { take({stream_stop()}); }), "TR310");
  EXPECT_EQ(code_of([&] { take({begin(100, 5), begin(100, 5)}); }), "TR310");
  connect();
  EXPECT_EQ(code_of([&] { take({begin(100, 5), commit(101)}); }), "TR310");
  connect();
  EXPECT_EQ(code_of([&] { take({prepare('P', 100, 5, "a")}); }), "TR310");
  EXPECT_EQ(code_of([&] { take({prepare('b', 100, 5, "a"), prepare('P', 100, 6, "a")}); }), "TR310");
  connect();
  EXPECT_EQ(code_of([&] { take({"?"}); }), "TR310");
}

TEST_F(StreamDecoderTest, descriptions_take_their_place_before_the_next_transaction_or_at_the_next_progress) {
  plain(100, 5, "before");
  const auto table = [](std::uint32_t oid) {
    auto relation = std::make_shared<Relation>();
    relation->oid = Oid(oid);
    return relation;
  };
  decoder().describe({table(7), table(8)});
  plain(200, 6, "behind");
  ASSERT_EQ(log.unit_count(), 3u);
  EXPECT_EQ(log.units().at(1).changes.size(), 2u);
  EXPECT_EQ(log.units().at(1).record.end_lsn, Lsn(200));
  EXPECT_FALSE(log.units().at(1).record.xid.valid());
  decoder().describe({table(9)});
  decoder().progress(Lsn(900));
  ASSERT_EQ(log.unit_count(), 4u);
  EXPECT_EQ(log.units().at(3).record.end_lsn, Lsn(900));
  EXPECT_FALSE(decoder().describing());
}

TEST_F(StreamDecoderTest, what_the_stream_says_of_a_table_is_younger_than_a_description_that_waits) {
  plain(100, 5, "before");
  auto relation = std::make_shared<Relation>();
  relation->oid = Oid(1);
  take({begin(200, 6)});
  decoder().describe({relation});
  take({script::relation(1, "t"), insert(1, "v"), commit(200)});
  decoder().progress(Lsn(900));
  EXPECT_EQ(log.unit_count(), 2u);
}

TEST_F(StreamDecoderTest, messages_of_ddl_are_noticed_once_they_are_committed) {
  EXPECT_FALSE(decoder().take_ddl_notice());
  plain(100, 5, "v");
  EXPECT_FALSE(decoder().take_ddl_notice());
  take({begin(200, 6), logical_message(150, true, "", kDdlPrefix), commit(200)});
  EXPECT_TRUE(decoder().take_ddl_notice());
  EXPECT_FALSE(decoder().take_ddl_notice());
  take({stream_start(10, true), with_sub_xid(logical_message(250, true, "", kDdlPrefix), 10), stream_stop()});
  EXPECT_FALSE(decoder().take_ddl_notice());
  take({stream_commit(10, 300)});
  EXPECT_TRUE(decoder().take_ddl_notice());
}

}  // namespace
}  // namespace tailrace::postgres
