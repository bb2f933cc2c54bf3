#include "sinks/lake/spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/error.h"
#include "net/url_reader.h"
#include "sinks/lake/local_store.h"
#include "sinks/lake/s3_store.h"

namespace tailrace::lake {
namespace {

constexpr std::string_view kFile = "file://";
constexpr std::string_view kBucket = "s3://";
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

const net::UrlReader& reader() {
  static const net::UrlReader made("lake's", "TR857",
                                   "write `url` as file://DIRECTORY or s3://BUCKET/PREFIX, `endpoint` as https://HOST");
  return made;
}

void read_bucket(std::string_view rest, LakeSpec& spec) {
  const std::size_t slash = rest.find('/');
  spec.bucket.emplace();
  spec.bucket->bucket = rest.substr(0, slash);
  if (spec.bucket->bucket.empty()) reader().refuse("names no bucket");
  if (slash == std::string_view::npos) return;
  spec.prefix = rest.substr(slash + 1);
  while (spec.prefix.ends_with('/')) spec.prefix.pop_back();
  if (!spec.prefix.empty()) spec.prefix += '/';
}

}  // namespace

std::string LakeSpec::data_path() const {
  return bucket ? fmt::format("s3://{}/{}", bucket->bucket, prefix) : directory.string() + "/";
}

std::string LakeSpec::display() const {
  if (!catalog.empty()) return "ducklake:sqlite:" + catalog.string();
  return bucket ? fmt::format("{}/{}", bucket->display(), prefix) : directory.string();
}

std::unique_ptr<Store> LakeSpec::store() const {
  if (bucket) return std::make_unique<S3Store>(*bucket, prefix, part_size);
  return std::make_unique<LocalStore>(directory);
}

void read_catalog(std::string_view text, LakeSpec& spec) {
  constexpr std::string_view kSqlite = "sqlite:";
  const std::string_view file = text.starts_with(kSqlite) ? text.substr(kSqlite.size()) : std::string_view();
  if (file.empty())
    throw BadConfigError("TR857", fmt::format("`catalog: {}` is no file of SQLite", text.substr(0, text.find(':'))),
                         "write `catalog: \"sqlite:/DIRECTORY/catalog.sqlite\"`");
  spec.catalog = std::filesystem::absolute(std::filesystem::path(file)).lexically_normal();
}

std::size_t gathered_bytes(const LakeSpec& spec) {
  constexpr std::size_t kLeast = 4U << 20;
  constexpr std::size_t kMost = 64U << 20;
  return bound_or_tested("LAKE_BYTES", std::clamp<std::size_t>(spec.memory / 16, kLeast, kMost));
}

void check_part_size(const LakeSpec& spec) {
  // S3's own bounds; only an upload's last part may be smaller.
  constexpr std::uint64_t kLeast = 5ULL << 20;
  constexpr std::uint64_t kMost = 5ULL << 30;
  if (spec.part_size < kLeast || spec.part_size > kMost)
    throw BadConfigError("TR857", "S3 takes no parts of the size `part_size`", "write 5MiB or more, and 5GiB at most");
  if (!spec.bucket && spec.part_size != kUsualPart)
    throw BadConfigError("TR857", "`part_size` is for a bucket of S3", "leave it out, or write `url: \"s3://BUCKET\"`");
}

void check_compaction(const LakeSpec& spec) {
  if (spec.compact_files == 0) return;
  if (spec.compact_files == 1)
    throw BadConfigError("TR857", "`compact_files: 1` merges nothing", "write 2 or more; 8 is a good number");
  const bool plain_text = spec.form.format != Format::kAvro && spec.form.codec == Codec::kNone;
  if (spec.connect || !spec.catalog.empty() || (spec.form.format != Format::kParquet && !plain_text))
    throw BadConfigError("TR857",
                         "`compact_files` is for Parquet, and for JSON and CSV without codec, in folders of tables",
                         "leave it out, or choose another format; with `layout: connect` make files larger by `flush`, "
                         "with `layout: ducklake` by `batch`");
}

void read_url(std::string_view url, LakeSpec& spec) {
  if (url.starts_with(kBucket)) return read_bucket(url.substr(kBucket.size()), spec);
  const bool file = url.starts_with(kFile);
  if (!file && url.find("://") != std::string_view::npos) reader().refuse("is of no kind that this version knows");
  if (file) url.remove_prefix(kFile.size());
  if (url.empty()) reader().refuse("names no directory");
  spec.directory = std::filesystem::absolute(std::filesystem::path(url)).lexically_normal();
}

void read_endpoint(const std::string& url, net::S3Address& bucket) {
  bucket.path_style = !url.empty();
  bucket.tls = url.empty() || url.starts_with("https://");
  bucket.port = bucket.tls ? kHttpsPort : kHttpPort;
  if (url.empty()) {
    bucket.host = fmt::format("s3.{}.amazonaws.com", bucket.region);
    return;
  }
  std::string_view rest = url;
  if (!rest.starts_with("http://") && !rest.starts_with("https://")) reader().refuse("has an endpoint that is no http");
  rest.remove_prefix(rest.find("://") + 3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@") != std::string_view::npos)
    reader().refuse("has an endpoint with more than a host and a port");
  reader().read_host(rest, bucket);
}

}  // namespace tailrace::lake
