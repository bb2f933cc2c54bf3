#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/error_code_for_test.h"
#include "model/batch_for_test.h"
#include "net/digest.h"
#include "sinks/webhook/answer.h"
#include "sinks/webhook/delivery_order.h"
#include "sinks/webhook/request_form.h"
#include "sinks/webhook/signature.h"
#include "sinks/webhook/spec.h"

namespace tailrace::webhook {
namespace {

using sinks::RowChange;
using sinks::RowOperation;
using tailrace::test::items;
using tailrace::test::Row;
using tailrace::test::table;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

WebhookSpec spec(const std::string& url = "https://host/hook") {
  WebhookSpec spec;
  spec.url = {url, formats::Escaping::kUrl};
  spec.pipeline = "shop";
  return spec;
}

/// Changes and what their views point to.
class Changes {
 public:
  explicit Changes(RelationPtr relation) : relation_(std::move(relation)) {}

  Changes& add(RowOperation operation, const Row& new_row, const Row& old_row = {}) {
    RowChange change;
    change.operation = operation;
    change.relation = relation_.get();
    change.position = {1, Lsn(4096), changes_.size()};
    if (!new_row.empty()) change.new_row = TupleView(bytes_.emplace_back(tuple_bytes(new_row)));
    if (!old_row.empty()) {
      change.old_kind = OldTuple::kKey;
      change.old_row = TupleView(bytes_.emplace_back(tuple_bytes(old_row)));
    }
    changes_.push_back(change);
    return *this;
  }
  Changes& insert(const std::string& id) { return add(RowOperation::kInsert, {id, "a", "b"}); }
  const std::vector<RowChange>& all() const { return changes_; }

 private:
  RelationPtr relation_;
  std::deque<std::string> bytes_;
  std::vector<RowChange> changes_;
};

std::vector<std::size_t> ready(DeliveryOrder& order) {
  std::vector<std::size_t> places;
  while (const auto at = order.next()) places.push_back(*at);
  return places;
}

TEST(WebhookOrderTest, RowsGoAtTheSameTimeAndChangesOfOneDoNot) {
  Changes changes(items());
  changes.insert("1").insert("2").insert("1").insert("1");
  DeliveryOrder order(changes.all());
  EXPECT_THAT(ready(order), ElementsAre(0, 1));
  order.done(1);
  EXPECT_THAT(ready(order), IsEmpty());
  order.done(0);
  EXPECT_THAT(ready(order), ElementsAre(2));
  order.done(2);
  EXPECT_THAT(ready(order), ElementsAre(3));
}

TEST(WebhookOrderTest, ARowThatMovesWaitsForBothItsKeys) {
  Changes changes(items());
  changes.insert("1").insert("2");
  changes.add(RowOperation::kUpdate, {"2", "a", "b"}, {"1", std::nullopt, std::nullopt});
  changes.insert("1").insert("2");
  DeliveryOrder order(changes.all());
  EXPECT_THAT(ready(order), ElementsAre(0, 1));
  order.done(0);
  EXPECT_THAT(ready(order), IsEmpty());
  order.done(1);
  EXPECT_THAT(ready(order), ElementsAre(2));
  order.done(2);
  EXPECT_THAT(ready(order), ElementsAre(3, 4));
}

TEST(WebhookOrderTest, ATruncatePassesNothingOfItsTable) {
  Changes changes(items());
  changes.insert("1").insert("2").add(RowOperation::kTruncate, {}).insert("3");
  DeliveryOrder order(changes.all());
  EXPECT_THAT(ready(order), ElementsAre(0, 1));
  order.done(0);
  order.refused(1);
  EXPECT_THAT(ready(order), ElementsAre(2));
  order.done(2);
  EXPECT_THAT(ready(order), ElementsAre(3));
}

TEST(WebhookOrderTest, WhatFollowsARefusedChangeOfItsRowIsWithheld) {
  Changes changes(items());
  changes.insert("1").insert("1").insert("2").insert("1").add(RowOperation::kTruncate, {});
  DeliveryOrder order(changes.all());
  EXPECT_THAT(ready(order), ElementsAre(0, 2));
  order.refused(0);
  EXPECT_THAT(ready(order), IsEmpty());
  order.done(2);
  EXPECT_THAT(ready(order), ElementsAre(4));
}

TEST(WebhookOrderTest, ATableWithoutKeyIsDeliveredInOrder) {
  Changes changes(table("log", {{"n", 23}}));
  changes.add(RowOperation::kInsert, {"1"}).add(RowOperation::kInsert, {"2"});
  DeliveryOrder order(changes.all());
  EXPECT_THAT(ready(order), ElementsAre(0));
  order.refused(0);
  EXPECT_THAT(ready(order), ElementsAre(1));
}

TEST(WebhookFormTest, KeysAreStableAndTellChangesApart) {
  const RelationPtr relation = items();
  const WebhookSpec made = spec();
  const RequestForm form(*relation, made);
  Changes changes(relation);
  changes.insert("1").insert("1");
  changes.add(RowOperation::kCopied, {"1", "a", "b"}).add(RowOperation::kCopied, {"1", "a", "c"});
  EXPECT_EQ(form.key_of(changes.all()[0], ""), "shop-1:0/1000:0");
  EXPECT_EQ(form.key_of(changes.all()[1], ""), "shop-1:0/1000:1");
  const auto copied = form.key_of(changes.all()[2], "x");
  EXPECT_EQ(form.key_of(changes.all()[2], "y"), copied) << "whichever copy it is";
  EXPECT_NE(form.key_of(changes.all()[3], "x"), copied) << "the row is another one";
  const RelationPtr log = table("log", {{"n", 23}});
  const RequestForm keyless(*log, made);
  Changes same(log);
  same.add(RowOperation::kCopied, {"1"});
  EXPECT_NE(keyless.key_of(same.all()[0], "x"), keyless.key_of(same.all()[0], "y")) << "equal rows are two";
}

TEST(WebhookFormTest, AColumnAsKeyHasToFitAHeader) {
  const RelationPtr relation = items();
  WebhookSpec made = spec();
  made.key_column = "v";
  const RequestForm form(*relation, made);
  Changes changes(relation);
  changes.add(RowOperation::kInsert, {"1", "key", "b"}).add(RowOperation::kTruncate, {});
  for (const char* bad : {"a\r\nb", "", " a", "a ", "\x7f"}) changes.add(RowOperation::kInsert, {"1", bad, "b"});
  changes.add(RowOperation::kInsert, {"1", std::nullopt, "b"}).add(RowOperation::kInsert, {"1", kUnchanged, "b"});
  EXPECT_EQ(form.key_of(changes.all()[0], ""), "key");
  EXPECT_EQ(form.key_of(changes.all()[1], ""), "shop-1:0/1000:1") << "it has no row";
  for (std::size_t n = 2; n < changes.all().size(); ++n) EXPECT_FALSE(form.key_of(changes.all()[n], "")) << n;
}

TEST(WebhookFormTest, ValuesStayInTheirPlaces) {
  const RelationPtr relation = items();
  WebhookSpec made = spec("https://host/{v}?q={big}");
  made.headers.push_back({"X-V", {"<{v}>", formats::Escaping::kNone}});
  made.body = {R"({{"v": "{v}"}})", formats::Escaping::kJson};
  const RequestForm form(*relation, made);
  Changes changes(relation);
  changes.add(RowOperation::kInsert, {"1", "a/\"?", "&"});
  HttpRequest request;
  EXPECT_EQ(form.fill(changes.all()[0], "k", request), nullptr);
  EXPECT_EQ(request.url, "https://host/a%2F%22%3F?q=%26");
  EXPECT_EQ(request.headers[0].second, "<a/\"?>");
  EXPECT_EQ(request.body, R"({"v": "a/\"?"})");
  for (const Row& row : {Row{"1", "..", "b"}, Row{"1", "", "b"}, Row{"1", "a\rb", "b"}, Row{"1", std::nullopt, "b"},
                         Row{"1", "a", kUnchanged}}) {
    Changes bad(relation);
    bad.add(RowOperation::kInsert, row);
    HttpRequest none;
    EXPECT_NE(form.fill(bad.all()[0], "k", none), nullptr);
  }
}

TEST(WebhookFormTest, WhatATableLacksIsNamed) {
  const RelationPtr log = table("log", {{"n", 23}});
  EXPECT_EQ(code_of([&] { RequestForm(*log, spec("https://host/{key}")); }), "TR834");
  WebhookSpec columns = spec();
  columns.body_columns = {"nowhere"};
  EXPECT_EQ(code_of([&] { RequestForm(*log, columns); }), "TR822");
}

TEST(WebhookSignatureTest, CoversTheTimeAndTheBody) {
  EXPECT_EQ(signature("s", 7, "{}"), "t=7,v1=" + net::hex(net::hmac_sha256("s", "7.{}")));
}

TEST(WebhookAnswerTest, AsksForTheReactionThatHelps) {
  const auto reaction = [](long status) { return reaction_to({.status = status}); };
  for (const long status : {200, 202, 204}) EXPECT_EQ(reaction(status), Reaction::kDone);
  for (const long status : {0, 408, 425, 429, 500, 502, 503, 599}) EXPECT_EQ(reaction(status), Reaction::kRetry);
  for (const long status : {400, 401, 404, 410, 413, 422}) EXPECT_EQ(reaction(status), Reaction::kRefused);
  for (const long status : {301, 307, 308}) EXPECT_EQ(reaction(status), Reaction::kElsewhere);
}

TEST(WebhookAnswerTest, ALetterHasTheBeginningOfWhatWasSaidAsText) {
  EXPECT_EQ(letter_text({.status = 400}), "HTTP 400");
  EXPECT_EQ(letter_text({.status = 400, .body = "no\r\n\xff\x01 \xe2\x82\xac"}), "HTTP 400: no  ?? \xe2\x82\xac");
  std::string euros;
  for (int n = 0; n < 400; ++n) euros += "\xe2\x82\xac";
  EXPECT_EQ(letter_text({.status = 400, .body = euros}).size(), std::string("HTTP 400: ").size() + 498)
      << "cut between characters";
}

TEST(WebhookSpecTest, WhatCannotBeIsNamedWithoutItsSecrets) {
  for (const char* url : {"ftp://h/secret", "https:///secret", "https://{v}.host/secret", "https://a@/secret",
                          "https://host/secret#x", "https://host/secret x"}) {
    EXPECT_EQ(code_of([&] { check_spec(spec(url)); }), "TR830") << url;
    try {
      check_spec(spec(url));
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
    }
  }
  WebhookSpec made = spec("https://ann:pass@host:8443/secret/{v}?t={v}");
  EXPECT_NO_THROW(check_spec(made));
  EXPECT_EQ(made.display().find("https://host:8443/…"), 0U) << made.display();
  for (const char* name : {"", "a b", "a:b", "Content-Length", "idempotency-key"}) {
    made.headers = {{name, {"x", formats::Escaping::kNone}}};
    EXPECT_EQ(code_of([&] { check_spec(made); }), "TR830") << name;
  }
  made.headers = {{"X-A", {"a\nb", formats::Escaping::kNone}}};
  EXPECT_EQ(code_of([&] { check_spec(made); }), "TR830");
  made.headers.clear();
  made.batch_rows = 10;
  made.key_column = "id";
  EXPECT_EQ(code_of([&] { check_spec(made); }), "TR830");
}

}  // namespace
}  // namespace tailrace::webhook
