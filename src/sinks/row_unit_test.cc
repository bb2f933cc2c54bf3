#include "sinks/row_unit.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "model/batch_for_test.h"
#include "sinks/row_table.h"

namespace tailrace::sinks {
namespace {

using tailrace::test::items;

/// What the unit should hold: by key the number of its last change, in the order of those numbers.
struct Expected {
  std::map<std::string, std::uint64_t> last;
  std::vector<std::uint64_t> in_order() const {
    std::vector<std::uint64_t> out;
    for (const auto& [key, number] : last) out.push_back(number);
    std::ranges::sort(out);
    return out;
  }
};

class RowUnitTest : public ::testing::Test {
 protected:
  RowChange change(RowOperation operation, const std::string& id) {
    RowChange made;
    made.operation = operation;
    made.relation = relation_.get();
    made.seq = Seq(++number_);
    std::string row;
    TupleWriter writer(row, 3);
    writer.text(id);
    writer.text("n");
    writer.text("t");
    const TupleView kept(unit_.own(std::move(row)));
    (operation == RowOperation::kDelete ? made.old_row : made.new_row) = kept;
    return made;
  }
  std::string key(const std::string& id) {
    std::string row;
    TupleWriter(row, 1).text(id);
    return row;
  }
  std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> out;
    for (const RowChange& change : unit_.changes()) out.push_back(change.seq.value());
    return out;
  }

  RelationPtr relation_ = items();
  std::vector<std::size_t> columns_ = relation_->match_key();
  RowUnit unit_;
  std::uint64_t number_ = 0;
};

TEST_F(RowUnitTest, OfEachKeyTheLastChangeStaysHoweverItCame) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    unit_.clear();
    Expected expected;
    // Some units see insertions only for a long time.
    const auto insertions = random() % 100;
    for (int n = 0; n < 400; ++n) {
      const std::string id = std::to_string(random() % 60);
      const auto dice = random() % 100;
      if (dice < insertions && !expected.last.contains(id)) {
        unit_.insert(change(RowOperation::kInsert, id), columns_);
        expected.last[id] = number_;
      } else if (dice % 20 == 0) {
        unit_.forget(*relation_, key(id));
        expected.last.erase(id);
      } else if (dice % 97 == 1) {
        unit_.forget_table(*relation_);
        expected.last.clear();
      } else if (dice % 31 == 2) {
        ASSERT_EQ(numbers(), expected.in_order()) << "seed " << seed;
      } else if (dice % 31 == 3) {
        const TupleView there = unit_.row_of(*relation_, key(id));
        ASSERT_EQ(there.present(), expected.last.contains(id)) << "seed " << seed;
      } else {
        unit_.put(key(id), change(RowOperation::kUpdate, id));
        expected.last[id] = number_;
      }
      ASSERT_EQ(unit_.size(), expected.last.size()) << "seed " << seed;
    }
    ASSERT_EQ(numbers(), expected.in_order()) << "seed " << seed;
  }
}

TEST(KeyPlacesTest, KeepsManyKeysOfAllLengthsApart) {
  KeyPlaces places;
  std::map<std::string, std::uint32_t> expected;
  std::mt19937 random(7);
  for (std::uint32_t n = 0; n < 50'000; ++n) {
    const std::string key(random() % 40, static_cast<char>(random() % 256));
    const auto before = expected.find(key);
    EXPECT_EQ(places.set(key, n), before == expected.end() ? KeyPlaces::kNone : before->second);
    expected[key] = n;
    const std::string number = std::to_string(n);
    places.set(number, n);
    expected[number] = n;
  }
  places.set(std::string(300'000, 'x'), 1);
  EXPECT_EQ(places.find(std::string(300'000, 'x')), 1U);
  for (const auto& [key, place] : expected) ASSERT_EQ(places.find(key), place);
  EXPECT_EQ(places.find("no such key"), KeyPlaces::kNone);
}

}  // namespace
}  // namespace tailrace::sinks
