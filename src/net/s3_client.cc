#include "net/s3_client.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "base/error.h"
#include "net/curl_handle.h"
#include "net/curl_headers.h"
#include "net/digest.h"
#include "net/xml_text.h"

namespace tailrace::net {
namespace {

constexpr std::size_t kLongestAnswer = 1U << 30;
constexpr long kNoContent = 204;

std::size_t take_answer(char* data, std::size_t size, std::size_t count, void* into) {
  auto* body = static_cast<std::string*>(into);
  if (body->size() + size * count > kLongestAnswer) return 0;
  body->append(data, size * count);
  return size * count;
}

/// What the lines before an answer's body say.
struct Head {
  std::string tag;
  bool is_complete = false;
  /// The answer says where its body ends. Without that, one that was cut off looks like a whole one.
  bool has_length = false;
};

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* into) {
  auto& head = *static_cast<Head*>(into);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) head = {};
  if (line == "\r\n") head.is_complete = true;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (name == "content-length" || name == "transfer-encoding") head.has_length = true;
  if (name != "etag") return line.size();
  std::string_view value = line.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
  head.tag = value;
  return line.size();
}

struct Sending {
  std::string_view left;
};

std::size_t give_body(char* data, std::size_t size, std::size_t count, void* from) {
  auto& sending = *static_cast<Sending*>(from);
  const std::size_t n = std::min(size * count, sending.left.size());
  sending.left.copy(data, n);
  sending.left.remove_prefix(n);
  return n;
}

std::string now_for_signature() {
  return fmt::format("{:%Y%m%dT%H%M%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

/// What servers say of keys that were good once.
bool is_about_old_keys(const std::string& code) {
  return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "InvalidToken" ||
         code == "TokenRefreshRequired" || code == "InvalidAccessKeyId" || code == "InvalidClientTokenId";
}

bool passes(long status, const std::string& code) {
  return status >= 500 || status == 408 || status == 429 || code == "SlowDown" || code == "RequestTimeout" ||
         code == "OperationAborted" || code == "ConditionalRequestConflict";
}

}  // namespace

std::string S3Address::display() const {
  return fmt::format("{}://{}/{}", tls ? "https" : "http", authority(), bucket);
}

struct S3Client::Transport {
  explicit Transport(const S3Address& address) : curl(address) {}
  CurlHandle curl;
};

S3Client::S3Client(S3Address address)
    : address_(std::move(address)), transport_(std::make_unique<Transport>(address_)) {
  CurlHandle& curl = transport_->curl;
  curl.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl.set(CURLOPT_TIMEOUT_MS, static_cast<long>(address_.timeout.count()));
  curl.set(CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  curl.set(CURLOPT_WRITEFUNCTION, take_answer);
  curl.set(CURLOPT_HEADERFUNCTION, take_header);
  curl.set(CURLOPT_READFUNCTION, give_body);
}

S3Client::~S3Client() = default;

std::string S3Client::host() const {
  const std::string port_of_scheme = address_.tls ? ":443" : ":80";
  std::string host = address_.authority();
  // The port of the scheme is left out of the header, and so of the signature.
  if (host.ends_with(port_of_scheme)) host.resize(host.size() - port_of_scheme.size());
  return address_.path_style ? host : address_.bucket + "." + host;
}

S3Client::Answer S3Client::ask(const Question& question) {
  const S3Credentials keys = address_.keys->current();
  Answer answer = ask(question, keys);
  // The answer to HEAD has no body that could say why.
  const bool is_refused = answer.status == 400 || answer.status == 401 || answer.status == 403;
  if (is_refused && (question.method == "HEAD" || is_about_old_keys(text_of(answer.body, "Code"))) &&
      address_.keys->renew(keys))
    return ask(question, address_.keys->current());
  return answer;
}

S3Client::Answer S3Client::ask(const Question& question, const S3Credentials& keys) {
  S3Request request;
  request.method = question.method;
  request.path = uri_encoded((address_.path_style ? "/" + address_.bucket : "") + "/" + question.key, true);
  request.query = question.query;
  request.headers = question.headers;
  request.payload_hash = sha256_hex(question.body);
  const std::string time = now_for_signature();
  request.headers.emplace_back("host", host());
  request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  request.headers.emplace_back("x-amz-date", time);
  if (!keys.session_token.empty()) request.headers.emplace_back("x-amz-security-token", keys.session_token);
  HeaderList headers;
  for (const auto& [name, value] : request.headers) headers.add(name + ": " + value);
  headers.add("authorization: " + authorization(request, keys, address_.region, "s3", time));
  headers.add("expect:");
  const std::string query = canonical_query(request);
  const std::string url = fmt::format("{}://{}{}{}{}", address_.tls ? "https" : "http", host(), request.path,
                                      query.empty() ? "" : "?", query);
  CurlHandle& curl = transport_->curl;
  Answer answer;
  Head head;
  Sending sending{question.body};
  const bool sends = question.method == "PUT" || question.method == "POST";
  curl.set(CURLOPT_HTTPGET, 1L);
  curl.set(CURLOPT_NOBODY, question.method == "HEAD" ? 1L : 0L);
  curl.set(CURLOPT_UPLOAD, sends ? 1L : 0L);
  curl.set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(question.body.size()));
  curl.set(CURLOPT_CUSTOMREQUEST, question.method.c_str());
  curl.set(CURLOPT_URL, url.c_str());
  curl.set(CURLOPT_HTTPHEADER, headers.get());
  curl.set(CURLOPT_READDATA, &sending);
  curl.set(CURLOPT_WRITEDATA, &answer.body);
  curl.set(CURLOPT_HEADERDATA, &head);
  const CURLcode result = curl.perform();
  if (result != CURLE_OK) {
    const std::string why = curl.failure(result);
    if (curl.is_about_trust(result))
      throw RefusedError("TR861", fmt::format("no trust between us and {}: {}", address_.display(), why),
                         "give `ca_file`, or the certificate that the server asks for");
    throw RetryError("TR860", fmt::format("no answer from {}: {}", address_.display(), why),
                     "see that the server runs and its address is right");
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  const bool has_body = question.method != "HEAD" && answer.status != kNoContent;
  if (!head.is_complete || (has_body && !head.has_length))
    throw RetryError("TR860", fmt::format("an answer of {} was cut off", address_.display()), "it is asked again");
  answer.tag = std::move(head.tag);
  return answer;
}

void S3Client::refuse(const Question& question, const Answer& answer) const {
  const std::string code = text_of(answer.body, "Code");
  const std::string what = fmt::format("{} answers {} of {} with {} {}", address_.display(), question.method,
                                       question.key.empty() ? "the bucket" : question.key, answer.status, code);
  if (passes(answer.status, code)) throw RetryError("TR860", what, "it is tried again");
  if (answer.status == 401 || answer.status == 403 || code == "InvalidAccessKeyId")
    throw RefusedError("TR861", what,
                       code == "RequestTimeTooSkewed"
                           ? "set the clock of this host"
                           : "check the keys, the region, and what they may do in the bucket");
  if (code == "NoSuchBucket" || (answer.status == 404 && question.key.empty()) || answer.status == 301 ||
      answer.status == 307)
    throw RefusedError("TR862", what, "make the bucket, or correct its name, `region` or `endpoint`");
  throw RefusedError("TR863", what, "see what the server says about this code");
}

S3Client::Answer S3Client::must(const Question& question) {
  Answer answer = ask(question);
  if (answer.status < 200 || answer.status >= 300) refuse(question, answer);
  return answer;
}

std::vector<std::string> S3Client::list(const std::string& prefix) {
  std::vector<std::string> keys;
  std::string after;
  while (true) {
    Question question{.method = "GET", .key = "", .query = {{"list-type", "2"}, {"prefix", prefix}}};
    if (!after.empty()) question.query.emplace_back("continuation-token", after);
    const Answer answer = must(question);
    for (const std::string_view entry : parts_of(answer.body, "Contents")) keys.push_back(text_of(entry, "Key"));
    after = text_of(answer.body, "NextContinuationToken");
    if (text_of(answer.body, "IsTruncated") != "true" || after.empty()) return keys;
  }
}

std::string S3Client::get(const std::string& key) { return must({.method = "GET", .key = key}).body; }

bool S3Client::exists(const std::string& key) {
  const Question question{.method = "HEAD", .key = key};
  const Answer answer = ask(question);
  if (answer.status == 404) return false;
  if (answer.status < 200 || answer.status >= 300) refuse(question, answer);
  return true;
}

void S3Client::put(const std::string& key, std::string_view bytes) {
  must({.method = "PUT", .key = key, .body = bytes});
}

bool S3Client::put_new(const std::string& key, std::string_view bytes) {
  const Question question{.method = "PUT", .key = key, .headers = {{"if-none-match", "*"}}, .body = bytes};
  const Answer answer = ask(question);
  if (answer.status == 412) return false;
  if (answer.status < 200 || answer.status >= 300) refuse(question, answer);
  return true;
}

void S3Client::remove(const std::string& key) {
  const Question question{.method = "DELETE", .key = key};
  const Answer answer = ask(question);
  if (answer.status != 404 && (answer.status < 200 || answer.status >= 300)) refuse(question, answer);
}

std::string S3Client::begin_upload(const std::string& key) {
  const Answer answer = must({.method = "POST", .key = key, .query = {{"uploads", ""}}});
  const std::string id = text_of(answer.body, "UploadId");
  if (id.empty())
    throw RefusedError("TR863", fmt::format("{} begins an upload and gives it no name", address_.display()),
                       "see that the server speaks S3");
  return id;
}

std::string S3Client::upload_part(const std::string& key, const std::string& upload, int number,
                                  std::string_view bytes) {
  return must({.method = "PUT",
               .key = key,
               .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}},
               .body = bytes})
      .tag;
}

bool S3Client::complete_upload(const std::string& key, const std::string& upload,
                               const std::vector<std::string>& tags) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t n = 0; n < tags.size(); ++n)
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", n + 1, xml_escaped(tags[n]));
  body += "</CompleteMultipartUpload>";
  const Question question{.method = "POST", .key = key, .query = {{"uploadId", upload}}, .body = body};
  Answer answer = ask(question);
  const std::string code = text_of(answer.body, "Code");
  if (code == "NoSuchUpload") return false;
  if (answer.status < 200 || answer.status >= 300) refuse(question, answer);
  // The status was sent before the server knew.
  if (!code.empty()) {
    answer.status = 500;
    refuse(question, answer);
  }
  return true;
}

void S3Client::abort_upload(const std::string& key, const std::string& upload) {
  const Question question{.method = "DELETE", .key = key, .query = {{"uploadId", upload}}};
  const Answer answer = ask(question);
  if (answer.status != 404 && (answer.status < 200 || answer.status >= 300)) refuse(question, answer);
}

std::vector<S3Upload> S3Client::uploads(const std::string& prefix) {
  std::vector<S3Upload> uploads;
  std::string key_marker;
  std::string upload_marker;
  while (true) {
    Question question{.method = "GET", .key = "", .query = {{"uploads", ""}, {"prefix", prefix}}};
    if (!key_marker.empty()) {
      question.query.emplace_back("key-marker", key_marker);
      question.query.emplace_back("upload-id-marker", upload_marker);
    }
    const Answer answer = must(question);
    for (const std::string_view entry : parts_of(answer.body, "Upload"))
      uploads.push_back({text_of(entry, "Key"), text_of(entry, "UploadId")});
    key_marker = text_of(answer.body, "NextKeyMarker");
    upload_marker = text_of(answer.body, "NextUploadIdMarker");
    if (text_of(answer.body, "IsTruncated") != "true" || key_marker.empty()) return uploads;
  }
}

}  // namespace tailrace::net
