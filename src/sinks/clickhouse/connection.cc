#include "sinks/clickhouse/connection.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <new>

#include "base/bytes.h"
#include "base/error.h"

namespace tailrace::clickhouse {
namespace {

/// Answers are states and names: more than this is none of them.
constexpr std::size_t kLongestAnswer = 1U << 30;

/// libcurl wants to be told once per process, before other threads use it; static objects are made by one thread.
struct CurlLibrary {
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

std::size_t take_answer(char* data, std::size_t size, std::size_t count, void* into) {
  auto* body = static_cast<std::string*>(into);
  if (body->size() + size * count > kLongestAnswer) return 0;
  body->append(data, size * count);
  return size * count;
}

/// What the lines before an answer's body say.
struct Head {
  int exception_code = 0;
  /// The body says itself where it ends. Without that, an answer that was cut off looks like a whole one.
  bool has_length = false;
  bool is_complete = false;
};

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* into) {
  auto& head = *static_cast<Head*>(into);
  const std::string_view line(data, size * count);
  const std::size_t colon = line.find(':');
  std::string name(line.substr(0, colon));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (line.starts_with("HTTP/")) head = {};
  if (line == "\r\n") head.is_complete = true;
  if (name == "content-length" || name == "transfer-encoding") head.has_length = true;
  if (name == "x-clickhouse-exception-code" && colon != std::string_view::npos) {
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    std::from_chars(value.data(), value.data() + value.size(), head.exception_code);
  }
  return size * count;
}

bool is_about_trust(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_ISSUER_ERROR;
}

}  // namespace

struct Connection::Transport {
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  std::array<char, CURL_ERROR_SIZE> why{};

  ~Transport() {
    curl_slist_free_all(headers);
    if (curl != nullptr) curl_easy_cleanup(curl);
  }
  void add_header(const std::string& header) {
    curl_slist* more = curl_slist_append(headers, header.c_str());
    if (more == nullptr) throw std::bad_alloc();
    headers = more;
  }
  std::string escaped(const std::string& text) const {
    const std::unique_ptr<char, void (*)(void*)> out(
        curl_easy_escape(curl, text.c_str(), static_cast<int>(text.size())), curl_free);
    if (out == nullptr) throw std::bad_alloc();
    return out.get();
  }
};

Connection::Connection(const Address& address)
    : address_(address), display_(address.display()), transport_(std::make_unique<Transport>()) {
  static const CurlLibrary library;
  Transport& t = *transport_;
  t.curl = curl_easy_init();
  if (t.curl == nullptr) throw std::bad_alloc();
  // User and password never stand in an address, which servers and proxies log.
  t.add_header("X-ClickHouse-User: " + address.user);
  if (!address.password.empty()) t.add_header("X-ClickHouse-Key: " + address.password);
  t.add_header("Content-Type: application/octet-stream");
  t.add_header("Expect:");
  curl_easy_setopt(t.curl, CURLOPT_HTTPHEADER, t.headers);
  curl_easy_setopt(t.curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(t.curl, CURLOPT_PROXY, "");
  curl_easy_setopt(t.curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(t.curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(t.curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(address.timeout.count()));
  curl_easy_setopt(t.curl, CURLOPT_TIMEOUT_MS, static_cast<long>(address.timeout.count()));
  curl_easy_setopt(t.curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  curl_easy_setopt(t.curl, CURLOPT_ERRORBUFFER, t.why.data());
  curl_easy_setopt(t.curl, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(t.curl, CURLOPT_HEADERFUNCTION, take_header);
  if (!address.ca_file.empty()) curl_easy_setopt(t.curl, CURLOPT_CAINFO, address.ca_file.c_str());
  if (!address.certificate_file.empty()) curl_easy_setopt(t.curl, CURLOPT_SSLCERT, address.certificate_file.c_str());
  if (!address.key_file.empty()) curl_easy_setopt(t.curl, CURLOPT_SSLKEY, address.key_file.c_str());
}

Connection::~Connection() = default;

std::string Connection::ask(const std::string& sql, std::string_view rows, const Settings& settings, bool is_insert) {
  Transport& t = *transport_;
  const std::string host = address_.host.find(':') == std::string::npos ? address_.host : "[" + address_.host + "]";
  // An answer is complete or an error: nothing fails behind its beginning.
  std::string url =
      fmt::format("{}://{}:{}/?wait_end_of_query=1", address_.tls ? "https" : "http", host, address_.port);
  for (const auto& [name, value] : settings) url += "&" + name + "=" + t.escaped(value);
  // The statement is the body, unless rows are.
  if (is_insert) url += "&query=" + t.escaped(sql);
  const std::string_view body = is_insert ? rows : std::string_view(sql);
  std::string answer;
  Head head;
  t.why[0] = '\0';
  curl_easy_setopt(t.curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(t.curl, CURLOPT_POST, 1L);
  curl_easy_setopt(t.curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(t.curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(t.curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(t.curl, CURLOPT_HEADERDATA, &head);
  const CURLcode result = curl_easy_perform(t.curl);
  if (result != CURLE_OK) {
    const std::string why = t.why[0] != '\0' ? t.why.data() : curl_easy_strerror(result);
    if (is_about_trust(result))
      throw RefusedError("TR841", fmt::format("no trust between us and {}: {}", display_, why),
                         "give `ca_file`, or the certificate that the server asks for");
    throw RetryError("TR840", fmt::format("no answer from {}: {}", display_, why),
                     "is the server running, and is the address right? It is tried again");
  }
  long status = 0;
  curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &status);
  if (!head.is_complete || !head.has_length)
    throw RetryError("TR840", fmt::format("an answer of {} was cut off", display_), "none: it is tried again");
  if (status != 200 || head.exception_code != 0)
    throw_error(read_error(status, head.exception_code, answer), display_, is_insert);
  return answer;
}

void Connection::run(const std::string& sql) { ask(sql, {}, {}, false); }

void Connection::insert(const std::string& sql, std::string_view rows, const Settings& settings) {
  ask(sql, rows, settings, true);
}

std::vector<std::vector<std::string>> Connection::select(const std::string& sql, std::size_t width) {
  const std::string answer = ask(sql + " FORMAT RowBinary", {}, {}, false);
  std::vector<std::vector<std::string>> rows;
  try {
    ByteReader in(answer);
    while (!in.empty()) {
      std::vector<std::string>& row = rows.emplace_back();
      for (std::size_t column = 0; column < width; ++column) {
        std::size_t size = 0;
        int shift = 0;
        for (std::uint8_t byte = in.u8();; byte = in.u8()) {
          size |= static_cast<std::size_t>(byte & 0x7f) << shift;
          shift += 7;
          if ((byte & 0x80) == 0 || shift > 56) break;
        }
        row.emplace_back(in.bytes(size));
      }
    }
  } catch (const OutOfBytes&) {
    throw RetryError("TR840", fmt::format("an answer of {} has no meaning", display_),
                     "is it ClickHouse's HTTP interface? It is tried again");
  }
  return rows;
}

}  // namespace tailrace::clickhouse
