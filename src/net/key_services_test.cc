#include "net/key_services.h"

#include <gtest/gtest.h>

#include "base/error_code_for_test.h"

namespace tailrace::net::test {
namespace {

TEST(KeyServicesTest, AnAnswerIsReadWithItsEnd) {
  const LentKeys lent = read_lent_keys(
      R"({"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2013-05-24T00:00:01Z"})",
      "it");
  EXPECT_EQ(lent.keys, (S3Credentials{"A", "S", "T"}));
  EXPECT_EQ(lent.until, read_time("2013-05-24T00:00:01Z"));
  EXPECT_FALSE(read_lent_keys(R"({"AccessKeyId":"A","SecretAccessKey":"S"})", "it").until);
}

TEST(KeyServicesTest, AnAnswerWithoutKeysIsRefused) {
  for (const char* answer : {"", "[]", "{}", R"({"Code":"AssumeRoleUnauthorizedAccess"})", R"({"AccessKeyId":"A"})",
                             R"({"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"soon"})",
                             R"({"AccessKeyId":1,"SecretAccessKey":"S"})"})
    EXPECT_EQ(code_of([&] { read_lent_keys(answer, "it"); }), "TR911") << answer;
}

TEST(KeyServicesTest, AContainersServiceIsNearOrSpeaksTls) {
  for (const char* safe : {"https://any.example/keys", "http://169.254.170.23/v1/credentials", "http://127.0.0.1:80/x",
                           "http://[::1]:7/x", "http://localhost"})
    EXPECT_TRUE(is_safe_container_url(safe)) << safe;
  for (const char* unsafe : {"http://any.example/keys", "http://127.0.0.1.any.example/",
                             "http://127.0.0.1:80@any.example/", "ftp://localhost/", ""})
    EXPECT_FALSE(is_safe_container_url(unsafe)) << unsafe;
}

}  // namespace
}  // namespace tailrace::net::test
