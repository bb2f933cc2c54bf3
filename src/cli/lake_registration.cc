#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "cli/registrations.h"
#include "cli/row_sink_setup.h"
#include "config/reference.h"
#include "config/schema.h"
#include "net/s3_credentials.h"
#include "sinks/lake/ducklake_target.h"
#include "sinks/lake/lake_target.h"

namespace tailrace::cli {
namespace {

using config::Need;
using config::Object;
using config::Privacy;
using lake::Format;
using lake::LakeSpec;
using lake::Partitioning;

/// A step of a lake makes an object for each table, so it is not made for every few rows.
constexpr const char* kDefaultPath = "{schema}/{table}";
constexpr std::uint64_t kStepBytes = 64ULL << 20;
constexpr std::chrono::seconds kStepWait{10};

enum class Layout : std::uint8_t { kFolders, kDuckLake };

enum class Addressing : std::uint8_t { kByServer, kPath, kHost };

struct LakeDraft : net::ConnectionTerms {
  LakeDraft() { timeout = std::chrono::seconds(60); }

  std::string url;
  std::string endpoint;
  std::string region;
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;
  std::string profile;
  Addressing addressing = Addressing::kByServer;
  Format format = Format::kParquet;
  Partitioning partition_by = Partitioning::kNone;
  std::string path = kDefaultPath;
  Layout layout = Layout::kFolders;
  std::string catalog;
};

Object<LakeDraft> lake_object() {
  Object<LakeDraft> object("Every change as rows in files of Parquet or JSON, in a directory or a bucket of S3.");
  object
      .text("url", &LakeDraft::url, "`file://DIRECTORY`, which is made when it is missing, or `s3://BUCKET/PREFIX`.",
            Need::kRequired)
      .choice<Format>("format", &LakeDraft::format, {{"parquet", Format::kParquet}, {"json", Format::kJsonLines}},
                      "Parquet (zstd, sorted by key), or one JSON object a line.")
      .choice<Partitioning>("partition_by", &LakeDraft::partition_by,
                            {{"none", Partitioning::kNone}, {"day", Partitioning::kDay}},
                            "Folders `date=YYYY-MM-DD` in each table's, by the commit's time in UTC.")
      .text("path", &LakeDraft::path, "The folder of a table, with `{schema}` and `{table}`.")
      .choice<Layout>(
          "layout", &LakeDraft::layout, {{"folders", Layout::kFolders}, {"ducklake", Layout::kDuckLake}},
          "A folder for each table, or tables of DuckLake, which many processes read (`tailrace docs ducklake`).")
      .text("catalog", &LakeDraft::catalog, "layout: ducklake: the catalog, as `sqlite:/DIRECTORY/FILE`.")
      .text("endpoint", &LakeDraft::endpoint,
            "S3: the server, as `https://host:port`; default: AWS_ENDPOINT_URL, else Amazon's.")
      .text("region", &LakeDraft::region, "S3: the region; default: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1.")
      .text("access_key_id", &LakeDraft::access_key_id, "S3: the key; default: see `tailrace docs s3`.")
      .text("secret_access_key", &LakeDraft::secret_access_key, "S3: its secret.", Need::kOptional, Privacy::kSecret)
      .text("session_token", &LakeDraft::session_token, "S3: the token of temporary keys.", Need::kOptional,
            Privacy::kSecret)
      .text("profile", &LakeDraft::profile,
            "S3: the profile in ~/.aws/credentials; default: AWS_PROFILE, else `default`.")
      .choice<Addressing>(
          "addressing", &LakeDraft::addressing,
          {{"auto", Addressing::kByServer}, {"path", Addressing::kPath}, {"host", Addressing::kHost}},
          "S3: the bucket in the path or in front of the host; auto: in the path where there is an endpoint.");
  add_server_options(object);
  return object;
}

void find_server(const LakeDraft& draft, net::S3Address& bucket) {
  const config::Environment environment = config::process_environment();
  const auto first = [&environment](const std::string& given, std::initializer_list<const char*> names) {
    std::string value = given;
    for (const char* name : names)
      if (value.empty()) value = environment(name).value_or("");
    return value;
  };
  set_terms(bucket, draft);
  if (const std::string region = first(draft.region, {"AWS_REGION", "AWS_DEFAULT_REGION"}); !region.empty())
    bucket.region = region;
  lake::read_endpoint(first(draft.endpoint, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}), bucket);
  // A certificate for all buckets covers no name with a dot of its own.
  if (bucket.bucket.find('.') != std::string::npos && bucket.tls) bucket.path_style = true;
  if (draft.addressing != Addressing::kByServer) bucket.path_style = draft.addressing == Addressing::kPath;
  if (bucket.ca_file.empty()) bucket.ca_file = environment("AWS_CA_BUNDLE").value_or("");
  if (draft.access_key_id.empty() != draft.secret_access_key.empty())
    throw BadConfigError("TR857", "one of `access_key_id` and `secret_access_key` is missing", "give both, or none");
  bucket.keys = draft.access_key_id.empty() ? net::find_s3_keys(environment, draft.profile, bucket.region)
                                            : std::make_shared<net::S3Keys>(net::S3Credentials{
                                                  draft.access_key_id, draft.secret_access_key, draft.session_token});
}

LakeSpec spec_of(const LakeDraft& draft) {
  LakeSpec spec;
  lake::read_url(draft.url, spec);
  if (spec.bucket) find_server(draft, *spec.bucket);
  spec.format = draft.format;
  spec.partitioning = draft.partition_by;
  spec.path = lake::TablePath(draft.path);
  if (draft.layout == Layout::kDuckLake) {
    if (draft.format != Format::kParquet || draft.path != kDefaultPath)
      throw BadConfigError("TR857", "DuckLake has files of Parquet in folders of its own",
                           "leave out `format` and `path`");
    lake::read_catalog(draft.catalog, spec);
  } else if (!draft.catalog.empty()) {
    throw BadConfigError("TR857", "`catalog` belongs to another layout", "write `layout: ducklake`, too");
  }
  return spec;
}

std::unique_ptr<sinks::RowTarget> lake_target(LakeSpec spec) {
  if (!spec.catalog.empty()) return std::make_unique<lake::DuckLakeTarget>(std::move(spec));
  return std::make_unique<lake::LakeTarget>(std::move(spec));
}

pipeline::SinkSetup lake_sink(const std::string& name, const LakeDraft& draft) {
  const LakeSpec spec = spec_of(draft);
  pipeline::SinkSetup setup = row_sink_setup(name, "lake", spec.display(), [spec](const pipeline::SinkRoom& room) {
    LakeSpec own = spec;
    own.pipeline = room.pipeline;
    own.memory = room.memory;
    return lake_target(std::move(own));
  });
  setup.delivery.gather = {.bytes = kStepBytes, .wait = kStepWait};
  return setup;
}

}  // namespace

pipeline::SinkSetup lake_place(const std::string& name, const std::string& url) {
  LakeDraft draft;
  draft.url = url;
  return lake_sink(name, draft);
}

pipeline::SinkKind lake_kind() { return row_sink_kind<LakeDraft>("lake", lake_object(), lake_sink); }

}  // namespace tailrace::cli
