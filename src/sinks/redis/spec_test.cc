#include "sinks/redis/spec.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error_code_for_test.h"
#include "sinks/redis/connection.h"
#include "sinks/redis/redis_writer.h"

namespace tailrace::redis {
namespace {

TEST(RedisUrlTest, SaysWhereAndWho) {
  const Address address = parse_url("rediss://ann:p%40ss%2F@[::1]:7000/3");
  EXPECT_EQ(address.host, "::1");
  EXPECT_EQ(address.port, 7000);
  EXPECT_EQ(address.user, "ann");
  EXPECT_EQ(address.password, "p@ss/");
  EXPECT_EQ(address.database, 3U);
  EXPECT_TRUE(address.tls);
  EXPECT_EQ(address.display(), "rediss://[::1]:7000/3") << "without secrets";
  EXPECT_EQ(parse_url("redis://host").display(), "redis://host:6379/0");
  EXPECT_EQ(parse_url("redis://:secret@host/").password, "secret");
}

TEST(RedisUrlTest, WhatIsNoUrlIsNamedWithoutItsSecrets) {
  for (const char* url : {"http://host", "redis://", "redis://host:x", "redis://host:70000", "redis://host/db",
                          "redis://[::1", "redis://[::1]x", "redis://a:%zz@host", "redis://a:secret@host:x"}) {
    EXPECT_EQ(code_of([&] { parse_url(url); }), "TR820") << url;
    try {
      parse_url(url);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
    }
  }
}

RedisSpec spec(Form form, const std::string& key) {
  RedisSpec spec;
  spec.form = form;
  spec.key = {key, formats::Escaping::kParts};
  return spec;
}

TEST(RedisSpecTest, WhatDoesNotFitIsNamed) {
  EXPECT_EQ(code_of([] { check_spec(spec(Form::kHash, "rows:{key}")); }), "TR820") << "tables collide";
  EXPECT_EQ(code_of([] { check_spec(spec(Form::kJson, "{table}")); }), "TR820") << "rows collide";
  EXPECT_EQ(code_of([] { check_spec(spec(Form::kSortedSet, "top")); }), "TR820") << "no score";
  RedisSpec bounded = spec(Form::kHash, default_key(Form::kHash));
  EXPECT_NO_THROW(check_spec(bounded));
  bounded.max_length = 10;
  EXPECT_EQ(code_of([&] { check_spec(bounded); }), "TR820");
}

TEST(RedisScoreTest, IsANumberThatRedisTakes) {
  for (const char* text : {"0", "-7.5", "1e300", "Infinity", "-Infinity", "12345678901234567890.5"})
    EXPECT_TRUE(is_score(text));
  for (const char* text : {"", "NaN", "a", "1 "}) EXPECT_FALSE(is_score(text));
}

TEST(RedisErrorTest, AsksForTheReactionThatHelps) {
  const auto code = [](const std::string& text) {
    return code_of([&] { throw_error({.kind = Reply::Kind::kError, .text = text}, "redis://h:1/0"); });
  };
  EXPECT_EQ(code("LOADING Redis is loading the dataset in memory"), "TR812");
  EXPECT_EQ(code("OOM command not allowed when used memory > 'maxmemory'."), "TR812");
  EXPECT_EQ(code("READONLY You can't write against a read only replica."), "TR812");
  EXPECT_EQ(code("MISCONF Redis is configured to save RDB snapshots"), "TR812");
  EXPECT_EQ(code("MOVED 3999 127.0.0.1:6381"), "TR813");
  EXPECT_EQ(code("NOAUTH Authentication required."), "TR811");
  EXPECT_EQ(code("NOPERM this user has no permissions to access one of the keys"), "TR811");
  EXPECT_EQ(code("ERR DB index is out of range"), "TR811");
  EXPECT_EQ(code("ERR unknown command 'XADD'"), "TR814");
}

}  // namespace
}  // namespace tailrace::redis
