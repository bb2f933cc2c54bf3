#include "sinks/clickhouse/connection.h"

#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <new>

#include "base/bytes.h"
#include "base/error.h"
#include "net/curl_handle.h"

namespace tailrace::clickhouse {
namespace {

/// Answers are states and names: more than this is none of them.
constexpr std::size_t kLongestAnswer = 1U << 30;
/// A body that fits into few segments is sent as it is.
constexpr std::size_t kLeastPacked = 4096;

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

}  // namespace

struct Connection::Transport {
  explicit Transport(const Address& address) : curl(address), packer(address.compression) {}
  ~Transport() {
    curl_slist_free_all(headers);
    curl_slist_free_all(packed_headers);
  }
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  static void add_header(curl_slist*& to, const std::string& header) {
    curl_slist* more = curl_slist_append(to, header.c_str());
    if (more == nullptr) throw std::bad_alloc();
    to = more;
  }
  std::string escaped(const std::string& text) const {
    const std::unique_ptr<char, void (*)(void*)> out(
        curl_easy_escape(curl.get(), text.c_str(), static_cast<int>(text.size())), curl_free);
    if (out == nullptr) throw std::bad_alloc();
    return out.get();
  }

  net::CurlHandle curl;
  net::BodyPacker packer;
  curl_slist* headers = nullptr;
  /// The same for a body that is packed.
  curl_slist* packed_headers = nullptr;
};

Connection::Connection(const Address& address)
    : address_(address), display_(address.display()), transport_(std::make_unique<Transport>(address)) {
  Transport& t = *transport_;
  // User and password never stand in an address, which servers and proxies log.
  for (curl_slist** list : {&t.headers, &t.packed_headers}) {
    t.add_header(*list, "X-ClickHouse-User: " + address.user);
    if (!address.password.empty()) t.add_header(*list, "X-ClickHouse-Key: " + address.password);
    t.add_header(*list, "Content-Type: application/octet-stream");
    t.add_header(*list, "Expect:");
  }
  if (const char* encoding = net::encoding_of(address.compression))
    t.add_header(t.packed_headers, fmt::format("Content-Encoding: {}", encoding));
  t.curl.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  t.curl.set(CURLOPT_TIMEOUT_MS, static_cast<long>(address.timeout.count()));
  t.curl.set(CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
  t.curl.set(CURLOPT_WRITEFUNCTION, take_answer);
  t.curl.set(CURLOPT_HEADERFUNCTION, take_header);
}

Connection::~Connection() = default;

std::string Connection::ask(const std::string& sql, std::string_view rows, const Settings& settings, bool is_insert) {
  Transport& t = *transport_;
  // An answer is complete or an error: nothing fails behind its beginning.
  std::string url = fmt::format("{}://{}/?wait_end_of_query=1", address_.tls ? "https" : "http", address_.authority());
  for (const auto& [name, value] : settings) url += "&" + name + "=" + t.escaped(value);
  // The statement is the body, unless rows are.
  if (is_insert) url += "&query=" + t.escaped(sql);
  const bool packs = is_insert && rows.size() >= kLeastPacked;
  const std::string_view body = !is_insert ? std::string_view(sql) : packs ? t.packer.pack(rows) : rows;
  std::string answer;
  Head head;
  t.curl.set(CURLOPT_URL, url.c_str());
  t.curl.set(CURLOPT_HTTPHEADER, packs ? t.packed_headers : t.headers);
  t.curl.set(CURLOPT_POST, 1L);
  t.curl.set(CURLOPT_POSTFIELDS, body.data());
  t.curl.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  t.curl.set(CURLOPT_WRITEDATA, &answer);
  t.curl.set(CURLOPT_HEADERDATA, &head);
  const CURLcode result = t.curl.perform();
  if (result != CURLE_OK) {
    const std::string why = t.curl.failure(result);
    if (t.curl.is_about_trust(result))
      throw RefusedError("TR841", fmt::format("no trust between us and {}: {}", display_, why),
                         "give `ca_file`, or the certificate that the server asks for");
    throw RetryError("TR840", fmt::format("no answer from {}: {}", display_, why),
                     "is the server running, and is the address right? It is tried again");
  }
  long status = 0;
  curl_easy_getinfo(t.curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (!head.is_complete || !head.has_length)
    throw RetryError("TR840", fmt::format("an answer of {} was cut off", display_), "none: it is tried again");
  // An INSERT has no answer but an exception, which an old server, or one behind a proxy, tells of too late for the
  // status.
  if (status != 200 || head.exception_code != 0 || (is_insert && !answer.empty()))
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
