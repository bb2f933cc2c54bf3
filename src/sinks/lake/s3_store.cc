#include "sinks/lake/s3_store.h"

#include <algorithm>
#include <utility>

namespace tailrace::lake {

S3Store::S3Store(const net::S3Address& address, std::string prefix, std::size_t part)
    : client_(address), prefix_(std::move(prefix)), part_(part) {}

std::vector<std::string> S3Store::list(const std::string& prefix) {
  std::vector<std::string> paths = client_.list(prefix_ + prefix);
  for (std::string& path : paths) path.erase(0, prefix_.size());
  std::ranges::sort(paths);
  return paths;
}

std::string S3Store::stage(const std::string& path, std::string_view bytes) {
  const std::string key = prefix_ + path;
  // The upload's name, and the tag of each part, one a line.
  std::string token = client_.begin_upload(key);
  const std::string upload = token;
  for (int number = 1; number == 1 || !bytes.empty(); ++number) {
    const std::string_view part = bytes.substr(0, part_);
    token += '\n' + client_.upload_part(key, upload, number, part);
    bytes.remove_prefix(part.size());
  }
  return token;
}

bool S3Store::publish(const std::string& path, const std::string& token) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at <= token.size();) {
    const std::size_t end = std::min(token.find('\n', at), token.size());
    lines.push_back(token.substr(at, end - at));
    at = end + 1;
  }
  const std::string upload = std::exchange(lines.front(), {});
  lines.erase(lines.begin());
  return client_.complete_upload(prefix_ + path, upload, lines) || client_.exists(prefix_ + path);
}

void S3Store::drop(const std::string& path, const std::string& token) {
  client_.abort_upload(prefix_ + path, token.substr(0, token.find('\n')));
}

void S3Store::drop_staged() {
  for (const net::S3Upload& upload : client_.uploads(prefix_)) client_.abort_upload(upload.key, upload.id);
}

}  // namespace tailrace::lake
