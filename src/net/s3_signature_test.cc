#include "net/s3_signature.h"

#include <gtest/gtest.h>

#include "net/digest.h"

namespace tailrace::net::test {
namespace {

// The examples of "Signature Calculations for the Authorization Header" in the Amazon S3 API reference.
const S3Credentials kExample = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr const char* kTime = "20130524T000000Z";

S3Request example(const std::string& method, const std::string& path, std::string_view body) {
  S3Request request;
  request.method = method;
  request.path = path;
  request.payload_hash = sha256_hex(body);
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                     {"x-amz-content-sha256", request.payload_hash},
                     {"x-amz-date", kTime}};
  return request;
}

std::string signature_of(const S3Request& request) {
  const std::string text = authorization(request, kExample, "us-east-1", "s3", kTime);
  return text.substr(text.find("Signature=") + 10);
}

TEST(S3SignatureTest, APartOfAnObjectIsAskedForAsTheReferenceHasIt) {
  S3Request request = example("GET", "/test.txt", "");
  request.headers.emplace_back("range", "bytes=0-9");
  EXPECT_EQ(authorization(request, kExample, "us-east-1", "s3", kTime),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3SignatureTest, AnObjectIsPutAsTheReferenceHasIt) {
  S3Request request = example("PUT", uri_encoded("/test$file.text", true), "Welcome to Amazon S3.");
  request.headers.emplace_back("date", "Fri, 24 May 2013 00:00:00 GMT");
  request.headers.emplace_back("x-amz-storage-class", "REDUCED_REDUNDANCY");
  EXPECT_EQ(signature_of(request), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(S3SignatureTest, AQueryWithoutValueIsSignedAsTheReferenceHasIt) {
  S3Request request = example("GET", "/", "");
  request.query = {{"lifecycle", ""}};
  EXPECT_EQ(signature_of(request), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(S3SignatureTest, AListIsAskedForAsTheReferenceHasIt) {
  S3Request request = example("GET", "/", "");
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_EQ(canonical_query(request), "max-keys=2&prefix=J");
  EXPECT_EQ(signature_of(request), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(S3SignatureTest, WhatHasAMeaningInAddressesIsEncoded) {
  EXPECT_EQ(uri_encoded("a b/ü+%~", true), "a%20b/%C3%BC%2B%25~");
  EXPECT_EQ(uri_encoded("a/b", false), "a%2Fb");
}

}  // namespace
}  // namespace tailrace::net::test
