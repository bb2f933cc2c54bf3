#include "sinks/redis/connection.h"

#include <fmt/format.h>
#include <hiredis/read.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <new>
#include <utility>

#include "net/curl_handle.h"

namespace tailrace::redis {
namespace {

constexpr std::size_t kReadSize = 64U << 10;

// hiredis' reader builds answers through these.
void* made(const redisReadTask* task, Reply reply) {
  auto* parent = task->parent == nullptr ? nullptr : static_cast<Reply*>(task->parent->obj);
  if (parent == nullptr) return new Reply(std::move(reply));
  Reply& place = parent->list.at(static_cast<std::size_t>(task->idx));
  place = std::move(reply);
  return &place;
}
void* make_text(const redisReadTask* task, char* text, std::size_t size) {
  Reply reply;
  reply.kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::kError
               : task->type == REDIS_REPLY_STATUS ? Reply::Kind::kStatus
                                                  : Reply::Kind::kText;
  reply.text.assign(text, size);
  return made(task, std::move(reply));
}
void* make_list(const redisReadTask* task, int elements) {
  Reply reply;
  reply.kind = Reply::Kind::kList;
  reply.list.resize(static_cast<std::size_t>(std::max(elements, 0)));
  return made(task, std::move(reply));
}
void* make_integer(const redisReadTask* task, long long value) {
  Reply reply;
  reply.kind = Reply::Kind::kInteger;
  reply.number = value;
  return made(task, std::move(reply));
}
void* make_null(const redisReadTask* task) { return made(task, {}); }
void free_reply(void* reply) { delete static_cast<Reply*>(reply); }

redisReplyObjectFunctions reply_functions() { return {make_text, make_list, make_integer, make_null, free_reply}; }

/// "*3\r\n". A dozen of them for each row.
void append_count(char kind, std::size_t count, std::string& out) {
  std::array<char, 24> text;
  text[0] = kind;
  char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, count).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(text.data(), end);
}

std::string first_word(const std::string& text) { return text.substr(0, text.find(' ')); }

}  // namespace

struct Connection::Transport {
  explicit Transport(const Address& address) : curl(address), timeout(address.timeout) {}
  ~Transport() { redisReaderFree(reader); }
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  /// False when nothing comes in time.
  bool wait(short events) const {
    pollfd poll_on{socket, events, 0};
    return ::poll(&poll_on, 1, static_cast<int>(timeout.count())) > 0;
  }

  net::CurlHandle curl;
  curl_socket_t socket = CURL_SOCKET_BAD;
  redisReplyObjectFunctions functions = reply_functions();
  redisReader* reader = redisReaderCreateWithFunctions(&functions);
  std::chrono::milliseconds timeout;
};

Connection::Connection(const Address& address)
    : display_(address.display()), transport_(std::make_unique<Transport>(address)) {
  Transport& t = *transport_;
  if (t.reader == nullptr) throw std::bad_alloc();
  // Only the connection is libcurl's; no request of its protocol is made.
  const std::string url = fmt::format("{}://{}", address.tls ? "https" : "http", address.authority());
  t.curl.set(CURLOPT_URL, url.c_str());
  t.curl.set(CURLOPT_CONNECT_ONLY, 1L);
  t.curl.set(CURLOPT_SSL_ENABLE_ALPN, 0L);
  const CURLcode code = t.curl.perform();
  if (t.curl.is_about_trust(code)) refuse_trust(code);
  if (code != CURLE_OK)
    throw RetryError("TR810", fmt::format("cannot reach {}: {}", display_, t.curl.failure(code)),
                     "is the server running, and is the address right?");
  if (curl_easy_getinfo(t.curl.get(), CURLINFO_ACTIVESOCKET, &t.socket) != CURLE_OK || t.socket == CURL_SOCKET_BAD)
    lost("its socket is gone");
  log_in(address);
}

Connection::~Connection() = default;

void Connection::log_in(const Address& address) {
  if (!address.user.empty()) {
    ask({"AUTH", address.user, address.password});
  } else if (!address.password.empty()) {
    ask({"AUTH", address.password});
  }
  ask({"SELECT", std::to_string(address.database)});
}

void Connection::refuse_trust(int code) const {
  throw RefusedError(
      "TR826",
      fmt::format("no trust between us and {}: {}", display_, transport_->curl.failure(static_cast<CURLcode>(code))),
      "give `ca_file`, or the certificate that the server asks for");
}

void Connection::hear_why() const {
  std::array<char, 256> ignored{};
  std::size_t size = 0;
  const CURLcode code = curl_easy_recv(transport_->curl.get(), ignored.data(), ignored.size(), &size);
  if (transport_->curl.is_about_trust(code)) refuse_trust(code);
}

void Connection::broken(int code) const {
  if (transport_->curl.is_about_trust(static_cast<CURLcode>(code))) refuse_trust(code);
  lost(transport_->curl.failure(static_cast<CURLcode>(code)));
}

void Connection::lost(const std::string& what) const {
  throw RetryError("TR810", fmt::format("the connection to {} is lost: {}", display_, what), "none: it is made again");
}

void Connection::add(const std::string_view* words, std::size_t count) {
  append_count('*', count, out_);
  for (std::size_t n = 0; n < count; ++n) {
    append_count('$', words[n].size(), out_);
    out_ += words[n];
    out_ += "\r\n";
  }
  ++commands_;
}

void Connection::send() {
  std::size_t sent = 0;
  while (sent < out_.size()) {
    std::size_t wrote = 0;
    transport_->curl.forget_failure();
    const CURLcode code = curl_easy_send(transport_->curl.get(), out_.data() + sent, out_.size() - sent, &wrote);
    sent += wrote;
    if (code == CURLE_AGAIN) {
      if (!transport_->wait(POLLOUT)) lost("it takes nothing any more");
    } else if (code != CURLE_OK) {
      hear_why();
      broken(code);
    }
  }
  out_.clear();
  if (out_.capacity() > (64U << 20)) out_.shrink_to_fit();
}

Reply Connection::read() {
  std::array<char, kReadSize> buffer;
  while (true) {
    void* object = nullptr;
    if (redisReaderGetReply(transport_->reader, &object) != REDIS_OK) lost("its answer is not Redis' protocol");
    if (object != nullptr) {
      const std::unique_ptr<Reply> reply(static_cast<Reply*>(object));
      return std::move(*reply);
    }
    std::size_t size = 0;
    transport_->curl.forget_failure();
    const CURLcode code = curl_easy_recv(transport_->curl.get(), buffer.data(), buffer.size(), &size);
    if (code == CURLE_AGAIN) {
      if (!transport_->wait(POLLIN)) lost("it does not answer");
    } else if (code != CURLE_OK) {
      broken(code);
    } else if (size == 0) {
      lost("the server closed it");
    } else if (redisReaderFeed(transport_->reader, buffer.data(), size) != REDIS_OK) {
      lost("its answer cannot be held");
    }
  }
}

std::vector<Reply> Connection::run() {
  const std::size_t expected = std::exchange(commands_, 0);
  send();
  std::vector<Reply> replies;
  replies.reserve(expected);
  while (replies.size() < expected) replies.push_back(read());
  return replies;
}

Reply Connection::ask(std::initializer_list<std::string_view> words) {
  add(words);
  Reply reply = std::move(run().back());
  if (reply.is_error()) throw_error(reply, display_);
  return reply;
}

void throw_error(const Reply& error, const std::string& display) {
  const std::string word = first_word(error.text);
  const auto is = [&word](std::initializer_list<const char*> words) {
    return std::ranges::find(words, word) != words.end();
  };
  if (is({"LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS"}))
    throw RetryError("TR812", fmt::format("{} is not ready ({})", display, word), "none: it is tried again");
  if (is({"OOM"}))
    throw RetryError("TR812", fmt::format("{} has no memory left (OOM)", display),
                     "raise maxmemory, or make room; it is tried again");
  if (is({"MISCONF"}))
    throw RetryError("TR812", fmt::format("{} cannot save to its disk and takes no writes (MISCONF)", display),
                     "look at the server's log; it is tried again");
  if (is({"READONLY"}))
    throw RetryError("TR812", fmt::format("{} is a replica and takes no writes (READONLY)", display),
                     "give the primary's address; it is tried again, in case this one becomes it");
  if (is({"MOVED", "ASK", "CROSSSLOT"}))
    throw RefusedError(
        "TR813", fmt::format("{} is a node of a Redis Cluster", display),
        "rows and cursor are one transaction, which a cluster has within one slot only: give a server that is none");
  if (is({"NOAUTH", "WRONGPASS", "NOPERM"}) || (word == "ERR" && error.text.find("AUTH") != std::string::npos))
    throw RefusedError("TR811", fmt::format("{} refuses us ({})", display, word),
                       "check user and password, and that the user may read and write the keys of this sink (ACL)");
  if (word == "ERR" && error.text.find("DB index") != std::string::npos)
    throw RefusedError("TR811", fmt::format("{} has no database of this number", display), "check the end of the URL");
  throw RefusedError("TR814", fmt::format("{} refuses a command ({})", display, word),
                     "is it Redis 7.0 or later, and nobody else's keys?");
}

}  // namespace tailrace::redis
