#include "net/s3_credentials.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/error_code_for_test.h"

namespace tailrace::net::test {
namespace {

constexpr const char* kFile =
    "# mine\n[default]\naws_access_key_id = DEF\naws_secret_access_key=s=1\r\n\n[ other ]\n  aws_access_key_id=OTH\n"
    "aws_secret_access_key = t\naws_session_token = u\n[half]\naws_access_key_id = HALF\n";

S3Credentials find(std::map<std::string, std::string> environment, const std::string& profile = "") {
  return find_s3_keys(
             [environment = std::move(environment)](const std::string& name) {
               const auto found = environment.find(name);
               return found == environment.end() ? std::nullopt : std::optional(found->second);
             },
             profile, "us-east-1")
      ->current();
}

TEST(S3CredentialsTest, AProfileIsReadFromAFile) {
  EXPECT_EQ(read_profile(kFile, "default")->secret_key, "s=1");
  EXPECT_EQ(read_profile(kFile, "other")->session_token, "u");
  EXPECT_EQ(read_profile(kFile, "other")->access_key, "OTH");
  EXPECT_FALSE(read_profile(kFile, "half"));
  EXPECT_FALSE(read_profile(kFile, "none"));
}

TEST(S3CredentialsTest, TheEnvironmentComesFirstUnlessAProfileIsNamed) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "credentials_of_s3_test";
  std::ofstream(file) << kFile;
  const std::string path = file.string();
  std::map<std::string, std::string> environment = {
      {"AWS_ACCESS_KEY_ID", "ENV"}, {"AWS_SECRET_ACCESS_KEY", "e"}, {"AWS_SHARED_CREDENTIALS_FILE", path}};
  EXPECT_EQ(find(environment).access_key, "ENV");
  EXPECT_EQ(find(environment, "other").access_key, "OTH");
  environment.erase("AWS_ACCESS_KEY_ID");
  EXPECT_EQ(find(environment).access_key, "DEF");
  environment["AWS_PROFILE"] = "other";
  EXPECT_EQ(find(environment).access_key, "OTH");
  environment["AWS_PROFILE"] = "half";
  EXPECT_EQ(code_of([&] { find(environment); }), "TR857");
  environment.erase("AWS_PROFILE");
  std::filesystem::remove(file);
  environment["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_EQ(code_of([&] { find(environment); }), "TR857");
}

TEST(S3CredentialsTest, WhatBelongsTogetherIsGivenTogether) {
  EXPECT_EQ(code_of([] { find({{"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"}}); }), "TR857");
  EXPECT_EQ(code_of([] { find({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://elsewhere.example/keys"}}); }), "TR857");
  EXPECT_EQ(code_of([] { find({{"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"}, {"AWS_ROLE_ARN", "r"}}); }), "TR911");
}

}  // namespace
}  // namespace tailrace::net::test
