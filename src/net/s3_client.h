#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/s3_keys.h"
#include "net/s3_signature.h"
#include "net/server_address.h"

namespace tailrace::net {

/// Where a bucket is and who asks. Holds secrets. A value.
struct S3Address : ServerAddress {
  std::string bucket;
  std::string region = "us-east-1";
  /// The bucket stands in the path, not in front of the host.
  bool path_style = false;
  std::shared_ptr<S3Keys> keys;

  /// "https://host:port/bucket", for people.
  std::string display() const;
};

/// An upload that was begun and that nobody sees.
struct S3Upload {
  std::string key;
  std::string id;
};

/// One bucket of an S3 server, over one connection. One thread. Calls throw RetryError TR860 for what may pass, and
/// RefusedError TR861 (we are not let in), TR862 (no such bucket), TR863 (anything else) for what will not; besides,
/// whatever the address' keys throw. REQUIRES: the address has keys.
class S3Client {
 public:
  explicit S3Client(S3Address address);
  ~S3Client();

  /// Keys that begin with `prefix`, in the order of their bytes.
  std::vector<std::string> list(const std::string& prefix);
  /// REQUIRES: it is there; else RefusedError TR863.
  std::string get(const std::string& key);
  bool exists(const std::string& key);
  void put(const std::string& key, std::string_view bytes);
  /// False, with nothing done: there is an object of that key.
  bool put_new(const std::string& key, std::string_view bytes);
  /// Gone on return, also when it was not there.
  void remove(const std::string& key);

  std::string begin_upload(const std::string& key);
  /// `number`: from 1. Gives the part's tag.
  std::string upload_part(const std::string& key, const std::string& upload, int number, std::string_view bytes);
  /// The object is there from here on. False: there is no such upload (any more).
  bool complete_upload(const std::string& key, const std::string& upload, const std::vector<std::string>& tags);
  /// Gone on return, also when it was not there.
  void abort_upload(const std::string& key, const std::string& upload);
  std::vector<S3Upload> uploads(const std::string& prefix);

 private:
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  struct Question {
    std::string method;
    std::string key;
    Pairs query;
    Pairs headers;
    std::string_view body;
  };
  struct Answer {
    long status = 0;
    std::string body;
    std::string tag;
  };
  struct Transport;

  /// Keys that ran out are renewed.
  Answer ask(const Question& question);
  Answer ask(const Question& question, const S3Credentials& keys);
  /// ask(), and throws for every status but those below 300.
  Answer must(const Question& question);
  [[noreturn]] void refuse(const Question& question, const Answer& answer) const;
  std::string host() const;

  const S3Address address_;
  const std::unique_ptr<Transport> transport_;
};

}  // namespace tailrace::net
