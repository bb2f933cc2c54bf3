#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "net/s3_client.h"
#include "sinks/lake/store.h"

namespace tailrace::lake {

/// A bucket of an S3 server, or what is below a prefix of it. What is staged is an upload in parts that is not
/// completed, which nobody sees.
class S3Store final : public Store {
 public:
  /// `prefix`: empty, or with a slash at its end. `part`: bytes of what is staged that are sent at once, as
  /// check_part_size() has them.
  S3Store(const net::S3Address& address, std::string prefix, std::size_t part);

  std::vector<std::string> list(const std::string& prefix) override;
  std::string read(const std::string& path) override { return client_.get(prefix_ + path); }
  bool create(const std::string& path, std::string_view bytes) override {
    return client_.put_new(prefix_ + path, bytes);
  }
  void write(const std::string& path, std::string_view bytes) override { client_.put(prefix_ + path, bytes); }
  void remove(const std::string& path) override { client_.remove(prefix_ + path); }
  std::string stage(const std::string& path, std::string_view bytes) override;
  bool publish(const std::string& path, const std::string& token) override;
  void drop(const std::string& path, const std::string& token) override;
  void drop_staged() override;

 private:
  net::S3Client client_;
  const std::string prefix_;
  const std::size_t part_;
};

}  // namespace tailrace::lake
