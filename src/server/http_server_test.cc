#include "server/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/error_code_for_test.h"
#include "base/time.h"
#include "server/pipelines_for_test.h"

namespace tailrace::server {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    pipelines_.add(shop_);
    pipelines_.set_phase(WatchedPipelines::Phase::kRunning);
  }
  ~HttpServerTest() override { pipelines_.remove(shop_); }

  UniqueFd connect() {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(server_.url().substr(server_.url().rfind(':') + 1))));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return socket;
  }
  static void send(const UniqueFd& socket, const std::string& text) {
    ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  /// Until the server closes.
  static std::string read(const UniqueFd& socket) {
    std::string text;
    std::array<char, 4096> bytes{};
    ssize_t n = 0;
    while ((n = ::recv(socket.get(), bytes.data(), bytes.size(), 0)) > 0)
      text.append(bytes.data(), static_cast<std::size_t>(n));
    return text;
  }
  std::string ask(const std::string& request) {
    const UniqueFd socket = connect();
    send(socket, request);
    return read(socket);
  }
  std::string get(const std::string& path, const std::string& headers = "Host: localhost\r\n") {
    return ask("GET " + path + " HTTP/1.1\r\n" + headers + "\r\n");
  }

  test::StatedPipeline shop_{"shop"};
  WatchedPipelines pipelines_;
  HttpServer server_{{"127.0.0.1", 0}, pipelines_, {.clients = 4, .question = 400ms, .answer = 400ms}};
};

TEST_F(HttpServerTest, AnswersOneQuestionPerConnection) {
  const std::string answer = get("/api/v1/status?pipeline=shop");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, HasSubstr("Cache-Control: no-store\r\n"));
  EXPECT_EQ(nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")))["name"], "shop");
  EXPECT_THAT(get("/livez"), HasSubstr("{\"live\":true}"));
  EXPECT_THAT(get("/readyz"), HasSubstr("{\"ready\":true}"));
  EXPECT_THAT(get("/health"), HasSubstr("\"healthy\""));
  EXPECT_THAT(get("/metrics"), HasSubstr("tailrace_build_info{version="));
  EXPECT_THAT(ask("HEAD /livez HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServerTest, WhatIsNotThereIsRefusedInKafkaConnectsForm) {
  EXPECT_THAT(get("/nothing"), HasSubstr("{\"error_code\":404,\"message\":"));
  EXPECT_THAT(get("/api/v1/status?pipeline=till"), HasSubstr("{\"error_code\":404,\"message\":"));
  const std::string posted = ask("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_THAT(posted, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(posted, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(HttpServerTest, APageUnderANameOfItsOwnIsNotAnswered) {
  EXPECT_THAT(get("/livez", "Host: evil.example:8083\r\n"), StartsWith("HTTP/1.1 403 "));
  for (const char* host : {"localhost", "localhost:8083", "127.0.0.1:8083", "[::1]:8083"}) {
    EXPECT_THAT(get("/livez", "Host: " + std::string(host) + "\r\n"), StartsWith("HTTP/1.1 200 ")) << host;
  }
}

TEST_F(HttpServerTest, OverlappingRangesDoNotMultiplyAnAnswer) {
  const std::string whole = get("/metrics");
  std::string ranges = "Range: bytes=0-";
  for (int i = 0; i < 1000; ++i) ranges += ",0-";
  EXPECT_LE(get("/metrics", ranges + "\r\n").size(), whole.size() + 100);
}

TEST_F(HttpServerTest, SlowClientsHoldUpNobody) {
  const UniqueFd silent = connect();
  const UniqueFd dribbling = connect();
  send(dribbling, "GET /livez HTT");
  const auto begun = SteadyClock::now();
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
  EXPECT_LT(SteadyClock::now() - begun, 300ms);
  // And they are let go, however often they say something.
  for (int i = 0; i < 10 && SteadyClock::now() - begun < 2s; ++i) {
    send(dribbling, "P");
    std::this_thread::sleep_for(60ms);
  }
  EXPECT_EQ(read(dribbling), "");
  EXPECT_EQ(read(silent), "");
  EXPECT_LT(SteadyClock::now() - begun, 4s);
}

TEST_F(HttpServerTest, WhoComesWhenTooManyAskIsTurnedAwayForNow) {
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 4; ++i) waiting.push_back(connect());
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  for (const UniqueFd& one : waiting) EXPECT_EQ(read(one), "");
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, QuestionsWithoutEndAreBrokenOff) {
  const std::string endless = ask("GET /livez HTTP/1.1\r\nX: " + std::string(1U << 20, 'x'));
  EXPECT_THAT(endless, ::testing::Not(HasSubstr("200")));
  std::string many = "GET /livez HTTP/1.1\r\n";
  for (int i = 0; i < 10'000; ++i) many += "X" + std::to_string(i) + ": y\r\n";
  EXPECT_THAT(ask(many + "\r\n"), ::testing::Not(HasSubstr("200 OK")));
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, NonsenseIsNoQuestion) {
  for (const std::string& nonsense :
       {std::string("\0\0\0\0\r\n\r\n", 8), std::string("GET\r\n\r\n"), std::string("GET /livez HTTP/9.9\r\n\r\n"),
        std::string("\x16\x03\x01\x02\r\n\r\n")}) {
    EXPECT_THAT(ask(nonsense), ::testing::Not(HasSubstr(" 200 ")));
  }
  EXPECT_THAT(get("/livez?" + std::string(4000, '&')), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get("/" + std::string(7000, '/')), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/livez", "Range: bytes=" + std::string(7000, '1') + "\r\n"), StartsWith("HTTP/1.1 "));
}

TEST_F(HttpServerTest, AnAddressInUseOrNoneOfThisMachineIsRefused) {
  const ListenAddress taken = parse_listen_address(server_.url().substr(7));
  EXPECT_EQ(code_of([&] { HttpServer(taken, pipelines_); }), "TR222");
  EXPECT_EQ(code_of([&] { HttpServer({"192.0.2.1", 0}, pipelines_); }), "TR222");
  EXPECT_EQ(code_of([&] { HttpServer({"no.such.host.invalid", 0}, pipelines_); }), "TR222");
}

TEST_F(HttpServerTest, EndsWhileClientsAreConnected) {
  const auto begun = SteadyClock::now();
  UniqueFd silent;
  {
    HttpServer other({"127.0.0.1", 0}, pipelines_);
    silent = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(parse_listen_address(other.url().substr(7)).port);
    ASSERT_EQ(::connect(silent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_LT(SteadyClock::now() - begun, 3s);
}

}  // namespace
}  // namespace tailrace::server
