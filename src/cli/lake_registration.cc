#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
using lake::Codec;
using lake::Format;
using lake::LakeSpec;
using lake::Partitioning;

constexpr const char* kDefaultPath = "{schema}/{table}";
/// A step of a lake makes an object for each table, so it is not made for every few rows.
constexpr std::uint64_t kStepBytes = 64ULL << 20;
constexpr std::chrono::seconds kStepWait{10};

enum class Layout : std::uint8_t { kFolders, kConnect, kDuckLake };

enum class Addressing : std::uint8_t { kByServer, kPath, kHost };

struct PartitionerDraft {
  lake::Partitioner kind = lake::Partitioner::kDefault;
  std::vector<std::string> fields;
  std::optional<std::chrono::milliseconds> duration;
  std::string path_format;
  std::string locale = "en-US";
  std::string timezone = "UTC";
  lake::TimeFrom timestamp = lake::TimeFrom::kRecord;
  std::string timestamp_field = "timestamp";
};

struct FlushDraft {
  std::uint64_t rows = 10'000;
  std::optional<std::chrono::milliseconds> interval;
  std::optional<std::chrono::milliseconds> schedule;
  bool on_partition_change = true;
};

struct ConnectDraft {
  std::string topics_dir = "topics";
  std::string topic = "{schema}.{table}";
  std::string directory_delim = "/";
  std::string file_delim = "+";
  int offset_digits = 10;
  PartitionerDraft partitioner;
  FlushDraft flush;
  lake::Deletes deletes = lake::Deletes::kRewrite;
  bool metadata = false;
};

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
  std::uint64_t part_size = lake::kUsualPart;
  Format format = Format::kParquet;
  Codec codec = Codec::kDefault;
  Partitioning partition_by = Partitioning::kNone;
  std::string path = kDefaultPath;
  std::uint32_t compact_files = 0;
  Layout layout = Layout::kFolders;
  std::string catalog;
  ConnectDraft connect;
};

Object<PartitionerDraft> partitioner_object() {
  using lake::Partitioner;
  using lake::TimeFrom;
  Object<PartitionerDraft> object("How rows of a topic are divided into folders.");
  object
      .choice<Partitioner>("by", &PartitionerDraft::kind,
                           {{"default", Partitioner::kDefault},
                            {"field", Partitioner::kField},
                            {"time", Partitioner::kTime},
                            {"daily", Partitioner::kDaily},
                            {"hourly", Partitioner::kHourly}},
                           "`partition=0`; values of columns; the time of rows.")
      .texts("fields", &PartitionerDraft::fields, "field: the columns, of text, integers or truth values.")
      .duration("duration", &PartitionerDraft::duration, "time: how much of it goes into one folder.")
      .text("path_format", &PartitionerDraft::path_format,
            "time: a pattern of Joda-Time's, as `'year'=YYYY/'month'=MM`; daily and hourly have one.")
      .text("locale", &PartitionerDraft::locale, "The language of names in `path_format`: English.")
      .text("timezone", &PartitionerDraft::timezone, "The zone of IANA's whose clocks count.")
      .choice<TimeFrom>(
          "timestamp", &PartitionerDraft::timestamp,
          {{"record", TimeFrom::kRecord}, {"wallclock", TimeFrom::kWallclock}, {"field", TimeFrom::kField}},
          "The time of a row: its commit's, this host's clock, or that of a column.")
      .text("timestamp_field", &PartitionerDraft::timestamp_field,
            "field: the column, of times, of text in ISO 8601, or of milliseconds since 1970.");
  return object;
}

Object<FlushDraft> flush_object() {
  Object<FlushDraft> object("When the files of a topic are complete.");
  object.integer("rows", &FlushDraft::rows, 1, 1'000'000'000, "So many rows of the topic are in them.")
      .duration("interval", &FlushDraft::interval, "A row comes that stands so much later than their first one.")
      .duration("schedule", &FlushDraft::schedule,
                "This host's clock passes a multiple of it since midnight in `timezone`; default: 10m; 0s: never.")
      .truth("on_partition_change", &FlushDraft::on_partition_change,
             "With `interval`: also when a row goes into another folder than the one before.");
  return object;
}

Object<ConnectDraft> connect_object() {
  using lake::Deletes;
  Object<ConnectDraft> object("layout: connect: names as Kafka Connect's object stores have them.");
  object.text("topics_dir", &ConnectDraft::topics_dir, "The folder of all topics; empty: none.")
      .text("topic", &ConnectDraft::topic, "The topic of a table, with `{schema}` and `{table}`.")
      .text("directory_delim", &ConnectDraft::directory_delim, "Between parts of a path.")
      .text("file_delim", &ConnectDraft::file_delim, "Between parts of a file's name.")
      .integer("offset_digits", &ConnectDraft::offset_digits, 0, 20, "How wide the first row's number is written.")
      .object("partitioner", &ConnectDraft::partitioner, partitioner_object())
      .object("flush", &ConnectDraft::flush, flush_object())
      .choice<Deletes>("deletes", &ConnectDraft::deletes, {{"rewrite", Deletes::kRewrite}, {"drop", Deletes::kDrop}},
                       "rewrite: a deleted row is a record with `__deleted` true, and others have it false.")
      .truth("metadata", &ConnectDraft::metadata, "Records also have `_op` and the other columns of this sink.");
  return object;
}

Object<LakeDraft> lake_object() {
  Object<LakeDraft> object(
      "Every change as rows in files of Parquet, JSON, Avro or CSV, in a directory or a bucket of S3.");
  object
      .text("url", &LakeDraft::url, "`file://DIRECTORY`, which is made when it is missing, or `s3://BUCKET/PREFIX`.",
            Need::kRequired)
      .choice<Format>(
          "format", &LakeDraft::format,
          {{"parquet", Format::kParquet}, {"json", Format::kJsonLines}, {"avro", Format::kAvro}, {"csv", Format::kCsv}},
          "Parquet (sorted by key), one JSON object a line, Avro's container files, or CSV with a header.")
      .choice<Codec>(
          "codec", &LakeDraft::codec,
          {{"auto", Codec::kDefault},
           {"none", Codec::kNone},
           {"zstd", Codec::kZstd},
           {"gzip", Codec::kGzip},
           {"snappy", Codec::kSnappy},
           {"lz4", Codec::kLz4},
           {"deflate", Codec::kDeflate}},
          "How files are compressed. Parquet: zstd (the default), snappy, gzip, lz4, none. Avro: deflate (the "
          "default), snappy, zstd, none. JSON and CSV: none (the default), gzip, zstd.")
      .choice<Partitioning>("partition_by", &LakeDraft::partition_by,
                            {{"none", Partitioning::kNone}, {"day", Partitioning::kDay}},
                            "Folders `date=YYYY-MM-DD` in each table's, by the commit's time in UTC.")
      .text("path", &LakeDraft::path, "The folder of a table, with `{schema}` and `{table}`.")
      .integer("compact_files", &LakeDraft::compact_files, 0, 1000,
               "So many small files of one folder are merged into one; 0: names that were seen stay.")
      .choice<Layout>("layout", &LakeDraft::layout,
                      {{"folders", Layout::kFolders}, {"connect", Layout::kConnect}, {"ducklake", Layout::kDuckLake}},
                      "A folder for each table; topics as Kafka Connect's object stores have them; or tables of "
                      "DuckLake, which many processes read (`tailrace docs ducklake`).")
      .object("connect", &LakeDraft::connect, connect_object())
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
          "S3: the bucket in the path or in front of the host; auto: in the path where there is an endpoint.")
      .size("part_size", &LakeDraft::part_size,
            "S3: how much of a file is sent at once, from 5MiB on; default: 16MiB.");
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

lake::ConnectOptions connect_options(const ConnectDraft& draft) {
  const auto millis = [](const std::optional<std::chrono::milliseconds>& given, std::int64_t otherwise) {
    return given ? given->count() : otherwise;
  };
  lake::ConnectOptions options;
  options.topics_dir = draft.topics_dir;
  options.topic = draft.topic;
  options.directory_delim = draft.directory_delim;
  options.file_delim = draft.file_delim;
  options.offset_digits = draft.offset_digits;
  options.partitioner = draft.partitioner.kind;
  options.fields = draft.partitioner.fields;
  options.duration = millis(draft.partitioner.duration, -1);
  options.path_format = draft.partitioner.path_format;
  options.locale = draft.partitioner.locale;
  options.timezone = draft.partitioner.timezone;
  options.time_from = draft.partitioner.timestamp;
  options.time_field = draft.partitioner.timestamp_field;
  options.flush_rows = draft.flush.rows;
  options.rotate_interval = millis(draft.flush.interval, -1);
  options.rotate_schedule = millis(draft.flush.schedule, options.rotate_schedule);
  options.rotate_on_partition = draft.flush.on_partition_change;
  options.deletes = draft.deletes;
  options.metadata = draft.metadata;
  return options;
}

void read_layout(const LakeDraft& draft, LakeSpec& spec) {
  if (draft.layout != Layout::kDuckLake && !draft.catalog.empty())
    throw BadConfigError("TR857", "`catalog` belongs to another layout", "write `layout: ducklake`, too");
  if (draft.layout == Layout::kDuckLake) {
    if (draft.format != Format::kParquet || draft.path != kDefaultPath)
      throw BadConfigError("TR857", "DuckLake has files of Parquet in folders of its own",
                           "leave out `format` and `path`");
    lake::read_catalog(draft.catalog, spec);
  }
  if (draft.layout == Layout::kConnect) {
    if (draft.path != kDefaultPath || draft.partition_by != Partitioning::kNone)
      throw BadConfigError("TR857", "Kafka Connect has topics and partitions instead of `path` and `partition_by`",
                           "leave both out, and write `connect: {topic: ..., partitioner: {...}}`");
    spec.connect = std::make_shared<lake::ConnectLayout>(connect_options(draft.connect));
  }
}

LakeSpec spec_of(const LakeDraft& draft) {
  LakeSpec spec;
  lake::read_url(draft.url, spec);
  if (spec.bucket) find_server(draft, *spec.bucket);
  spec.form = lake::file_form(draft.format, draft.codec);
  spec.partitioning = draft.partition_by;
  spec.path = lake::TablePath(draft.path);
  spec.compact_files = draft.compact_files;
  spec.part_size = draft.part_size;
  lake::check_part_size(spec);
  read_layout(draft, spec);
  lake::check_compaction(spec);
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
