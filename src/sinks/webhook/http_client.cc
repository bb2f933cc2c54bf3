#include "sinks/webhook/http_client.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/error.h"
#include "net/curl_handle.h"

namespace tailrace::webhook {
namespace {

constexpr std::chrono::seconds kLongestWait = std::chrono::hours(1);
constexpr int kPollMs = 1000;

}  // namespace

struct HttpClient::Bundle {
  net::CurlMulti multi;
};

/// One request on its way. libcurl points into it.
struct HttpClient::Transfer {
  net::CurlHandle curl;
  curl_slist* headers = nullptr;
  HttpRequest request;
  HttpAnswer answer;
  std::size_t received = 0;

  explicit Transfer(const HttpSettings& settings) : curl(settings) {
    curl.set(CURLOPT_PROTOCOLS_STR, "http,https");
    curl.set(CURLOPT_FOLLOWLOCATION, 0L);
    curl.set(CURLOPT_PROXY, settings.proxy.c_str());
    curl.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    // The path is what the template made of it.
    curl.set(CURLOPT_PATH_AS_IS, 1L);
    curl.set(CURLOPT_TIMEOUT_MS, static_cast<long>(settings.timeout.count()));
    curl.set(CURLOPT_WRITEFUNCTION, take);
    curl.set(CURLOPT_WRITEDATA, this);
  }
  ~Transfer() { curl_slist_free_all(headers); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void begin(std::size_t number, HttpRequest of) {
    request = std::move(of);
    answer = {};
    answer.request = number;
    received = 0;
    curl.forget_failure();
    curl_slist_free_all(std::exchange(headers, nullptr));
    for (const auto& [name, value] : request.headers) add_header(value.empty() ? name + ';' : name + ": " + value);
    // Else libcurl would wait for the server's leave before it sends larger bodies.
    add_header("Expect:");
    curl.set(CURLOPT_URL, request.url.c_str());
    curl.set(CURLOPT_HTTPHEADER, headers);
    curl.set(CURLOPT_POST, 1L);
    curl.set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl.set(CURLOPT_POSTFIELDS, request.body.c_str());
  }

  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers, line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    headers = longer;
  }

  static std::size_t take(char* bytes, std::size_t one, std::size_t count, void* into) {
    auto& transfer = *static_cast<Transfer*>(into);
    std::string& body = transfer.answer.body;
    body.append(bytes, std::min(one * count, kKeptBody - body.size()));
    transfer.received += one * count;
    return transfer.received > kLongestBody ? 0 : one * count;
  }
  void finish(CURLcode code) {
    const bool cut = code == CURLE_WRITE_ERROR && received > kLongestBody;
    if (code != CURLE_OK && !cut) {
      answer.failure = curl.failure(code);
      return;
    }
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RETRY_AFTER, &seconds);
    answer.retry_after = std::clamp(std::chrono::seconds(seconds), std::chrono::seconds(0), kLongestWait);
  }
};

HttpClient::HttpClient(const HttpSettings& settings) : settings_(settings), bundle_(std::make_unique<Bundle>()) {}

HttpClient::~HttpClient() {
  for (const auto& transfer : running_) curl_multi_remove_handle(bundle_->multi.get(), transfer->curl.get());
}

std::size_t HttpClient::running() const { return running_.size(); }

void HttpClient::start(std::size_t number, HttpRequest request) {
  std::unique_ptr<Transfer> transfer;
  if (idle_.empty()) {
    transfer = std::make_unique<Transfer>(settings_);
  } else {
    transfer = std::move(idle_.back());
    idle_.pop_back();
  }
  transfer->begin(number, std::move(request));
  if (curl_multi_add_handle(bundle_->multi.get(), transfer->curl.get()) != CURLM_OK)
    throw DefectError("a request that cannot be started");
  running_.push_back(std::move(transfer));
}

std::vector<HttpAnswer> HttpClient::wait() {
  CURLM* multi = bundle_->multi.get();
  std::vector<HttpAnswer> answers;
  while (answers.empty()) {
    int left = 0;
    if (curl_multi_perform(multi, &left) != CURLM_OK) throw DefectError("requests that cannot go on");
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &queued)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const auto ended = std::ranges::find_if(
          running_, [message](const auto& transfer) { return transfer->curl.get() == message->easy_handle; });
      std::unique_ptr<Transfer> transfer = std::move(*ended);
      running_.erase(ended);
      transfer->finish(code);
      curl_multi_remove_handle(multi, transfer->curl.get());
      answers.push_back(std::move(transfer->answer));
      idle_.push_back(std::move(transfer));
    }
    if (answers.empty()) curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr);
  }
  return answers;
}

std::string HttpClient::try_connection(const std::string& url) {
  Transfer transfer(settings_);
  transfer.curl.set(CURLOPT_URL, url.c_str());
  transfer.curl.set(CURLOPT_CONNECT_ONLY, 1L);
  const CURLcode code = transfer.curl.perform();
  return code == CURLE_OK ? std::string() : transfer.curl.failure(code);
}

}  // namespace tailrace::webhook
