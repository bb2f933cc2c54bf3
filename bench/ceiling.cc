// The ceiling: how fast a pgoutput stream can be taken off one walsender when nothing is done with it.
//
// libpq connects and authenticates; START_REPLICATION and everything after it is spoken on the bare socket, so that
// no byte ever passes through libpq's buffers. The stream is cut into CopyData frames in place (only the first bytes
// of each message are looked at), rows, commits and bytes are counted, keepalives that ask for it are answered, and
// nothing is confirmed: the slot can be read again. Ends at a given LSN or number of rows and prints one JSON line.
//
// The way the socket is read is what makes the difference (RESULTS.md, "How the socket is read"); each strategy that
// was tried is an option here.

#include <endian.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// none: wait in poll(). fixed: sleep after every read. rate: sleep until the rate seen so far has filled `target`
// bytes. available: sleep in short steps until FIONREAD shows `target` bytes. low_water: SO_RCVLOWAT. drain: read until
// the socket is empty, then sleep, unless nothing came since the last sleep.
enum class Pause { none, fixed, rate, available, low_water, drain };

struct Options {
  std::string conninfo;
  std::string slot;
  std::string publication = "bench";
  int proto = 1;
  bool streaming = false;
  bool binary = false;
  std::optional<uint64_t> until_lsn;
  std::optional<uint64_t> until_rows;
  size_t read_size = size_t{256} << 10;
  Pause pause = Pause::drain;
  std::optional<int> receive_buffer;                    // SO_RCVBUF in bytes; 0: the kernel's own tuning
  std::optional<std::chrono::microseconds> pause_time;  // the sleep, or its bound where the strategy has one
  size_t target = size_t{256} << 10;                    // bytes that a read should find
  bool exact_sleep = true;                              // without the kernel's 50 us of timer slack
};

struct Counts {
  uint64_t messages = 0;
  uint64_t rows = 0;
  uint64_t commits = 0;
  uint64_t bytes = 0;
  uint64_t reads = 0;
  uint64_t sleeps = 0;
  uint64_t stalls = 0;
};

uint64_t parse_lsn(const std::string& text) {
  unsigned high = 0;
  unsigned low = 0;
  if (std::sscanf(text.c_str(), "%X/%X", &high, &low) != 2) {
    throw std::runtime_error("not an LSN: " + text);
  }
  return (uint64_t{high} << 32) | low;
}

template <typename Integer>
Integer read_big_endian(const char* at) {
  Integer value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (sizeof value == 4) {
    return static_cast<Integer>(be32toh(value));
  } else {
    return static_cast<Integer>(be64toh(value));
  }
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (sent < 0 && errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      throw std::runtime_error(std::string("send: ") + std::strerror(errno));
    }
  }
}

void append_big_endian(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

// CPU seconds (user + system) of another process on this machine; 0 when it is gone or elsewhere.
double cpu_seconds_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(in, line)) {
    return 0;
  }
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) {
    fields >> skipped;
  }
  uint64_t user = 0;
  uint64_t system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

class Reader {
 public:
  explicit Reader(const Options& options)
      : options_(options), conn_(PQconnectdb(options.conninfo.c_str()), &PQfinish), buffer_(options.read_size * 2) {
    if (PQstatus(conn_.get()) != CONNECTION_OK) {
      throw std::runtime_error(PQerrorMessage(conn_.get()));
    }
    if (PQsslInUse(conn_.get()) != 0) {
      throw std::runtime_error("the ceiling reads the bare socket: connect with sslmode=disable");
    }
    fd_ = PQsocket(conn_.get());
    const bool local_tcp = is_local_tcp();
    pause_ = options.pause_time.value_or(local_tcp ? kLocalTcpPause : kOtherPause);
    receive_buffer_ =
        options.receive_buffer.value_or(local_tcp && options.pause == Pause::drain ? kLocalTcpReceiveBuffer : 0);
    if (receive_buffer_ > 0) {
      set_socket_option(SO_RCVBUF, receive_buffer_);
    }
    if (options.pause == Pause::low_water) {
      set_socket_option(SO_RCVLOWAT, static_cast<int>(options.target));
    }
    if (options.exact_sleep) {
      prctl(PR_SET_TIMERSLACK, 1UL);
    }
  }

  // Reads until the end asked for. REQUIRES: one call per Reader.
  void run() {
    start_replication();
    started_ = Clock::now();
    while (!done_) {
      fill();
      cut();
    }
    ended_ = Clock::now();
    walsender_cpu_ = cpu_seconds_of(PQbackendPID(conn_.get()));
  }

  void print() const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    const double elapsed = std::chrono::duration<double>(ended_ - started_).count();
    const double streaming = std::chrono::duration<double>(ended_ - first_row_).count();
    std::printf(
        "{\"rows\": %lu, \"commits\": %lu, \"messages\": %lu, \"bytes\": %lu, \"reads\": %lu, \"sleeps\": %lu, "
        "\"stalls\": %lu, "
        "\"seconds\": %.4f, \"seconds_from_first_byte\": %.4f, \"rows_per_second\": %.0f, \"cpu_user\": %.3f, "
        "\"cpu_system\": %.3f, \"walsender_cpu\": %.2f, \"max_rss_kib\": %ld}\n",
        counts_.rows, counts_.commits, counts_.messages, counts_.bytes, counts_.reads, counts_.sleeps, counts_.stalls,
        elapsed, streaming, static_cast<double>(counts_.rows) / elapsed, seconds(usage.ru_utime),
        seconds(usage.ru_stime), walsender_cpu_, usage.ru_maxrss);
  }

 private:
  // Whether both ends of a TCP connection are on this host: then their addresses are equal.
  bool is_local_tcp() const {
    sockaddr_storage own{};
    sockaddr_storage peer{};
    socklen_t own_size = sizeof own;
    socklen_t peer_size = sizeof peer;
    if (getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &own_size) != 0 ||
        getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0 || own.ss_family != peer.ss_family) {
      return false;
    }
    if (own.ss_family == AF_INET) {
      return reinterpret_cast<sockaddr_in*>(&own)->sin_addr.s_addr ==
             reinterpret_cast<sockaddr_in*>(&peer)->sin_addr.s_addr;
    }
    return own.ss_family == AF_INET6 &&
           std::memcmp(&reinterpret_cast<sockaddr_in6*>(&own)->sin6_addr,
                       &reinterpret_cast<sockaddr_in6*>(&peer)->sin6_addr, sizeof(in6_addr)) == 0;
  }

  void set_socket_option(int name, int value) const {
    if (setsockopt(fd_, SOL_SOCKET, name, &value, sizeof value) != 0) {
      throw std::runtime_error(std::string("setsockopt: ") + std::strerror(errno));
    }
  }

  void start_replication() {
    std::string command = "START_REPLICATION SLOT \"" + options_.slot + "\" LOGICAL 0/0 (proto_version '" +
                          std::to_string(options_.proto) + "', publication_names '\"" + options_.publication + "\"'";
    if (options_.streaming) {
      command += ", streaming 'on'";
    }
    if (options_.binary) {
      command += ", binary 'true'";
    }
    command += ")";
    std::string query = "Q";
    append_big_endian(query, command.size() + 5, 4);
    query += command;
    query.push_back('\0');
    write_all(fd_, query);
  }

  // Makes the unread bytes begin at the front of the buffer when less than one read fits behind them.
  void make_room() {
    if (buffer_.size() - end_ >= options_.read_size) {
      return;
    }
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() - end_ < options_.read_size) {
      buffer_.resize(buffer_.size() * 2);
    }
  }

  void fill() {
    make_room();
    const size_t got = receive();
    end_ += got;
    counts_.bytes += got;
    ++counts_.reads;
    last_read_ = got;
  }

  // One read by the chosen strategy; waits for at least one byte.
  size_t receive() {
    switch (options_.pause) {
      case Pause::none: break;
      case Pause::fixed: sleep_for(last_read_ > 0 ? pause_ : std::chrono::microseconds(0)); break;
      case Pause::rate: sleep_by_rate(); break;
      case Pause::available: wait_for_available(); break;
      case Pause::low_water: wait_for_low_water(); break;
      case Pause::drain: return drain();
    }
    while (true) {
      if (const size_t got = try_receive(); got > 0) {
        return got;
      }
      wait_readable();
    }
  }

  // What the socket holds, at most read_size bytes; 0 when it is empty.
  size_t try_receive() {
    while (true) {
      const ssize_t got = recv(fd_, buffer_.data() + end_, options_.read_size, MSG_DONTWAIT);
      if (got > 0) {
        return static_cast<size_t>(got);
      }
      if (got == 0) {
        throw std::runtime_error("the server closed the connection");
      }
      if (errno == EAGAIN) {
        return 0;
      }
      if (errno != EINTR) {
        throw std::runtime_error(std::string("recv: ") + std::strerror(errno));
      }
    }
  }

  void wait_readable() const {
    pollfd readable{fd_, POLLIN, 0};
    poll(&readable, 1, -1);
  }

  // An empty socket is slept on while data keep coming, and polled when they do not.
  size_t drain() {
    while (true) {
      if (const size_t got = try_receive(); got > 0) {
        drained_ += got;
        return got;
      }
      if (std::exchange(drained_, 0) > 0) {
        sleep_for(pause_);
      } else {
        wait_unless_stalled();
      }
    }
  }

  // A small window may be smaller than the sender's segments: it then sends by its probe timer only. The load is never
  // quiet for that long, so a wait of this length means a stall, and the window is doubled.
  void wait_unless_stalled() {
    const auto before = Clock::now();
    wait_readable();
    if (counts_.rows == 0 || receive_buffer_ == 0 || receive_buffer_ >= kOpenReceiveBuffer) {
      return;
    }
    if (Clock::now() - before >= kStall) {
      receive_buffer_ *= 2;
      set_socket_option(SO_RCVBUF, receive_buffer_);
      ++counts_.stalls;
    }
  }

  void sleep_for(std::chrono::nanoseconds time) {
    if (time.count() <= 0) {
      return;
    }
    const timespec duration{0, static_cast<long>(time.count())};
    nanosleep(&duration, nullptr);
    ++counts_.sleeps;
  }

  void sleep_by_rate() {
    const auto now = Clock::now();
    const double interval = std::chrono::duration<double>(now - std::exchange(previous_read_, now)).count();
    if (last_read_ < kIdleBytes) {
      return;
    }
    const double rate = static_cast<double>(last_read_) / std::max(interval, 1e-6);
    rate_ = rate_ == 0 ? rate : rate_ * 0.8 + rate * 0.2;
    const std::chrono::duration<double> wanted(static_cast<double>(options_.target) / rate_);
    sleep_for(std::min(std::chrono::duration_cast<std::chrono::nanoseconds>(wanted), std::chrono::nanoseconds(pause_)));
  }

  // At most four steps; ends early when nothing was added in one of them.
  void wait_for_available() {
    int before = -1;
    for (int step = 0; last_read_ > 0 && step < 4; ++step) {
      int available = 0;
      ioctl(fd_, FIONREAD, &available);
      if (static_cast<size_t>(available) >= options_.target || available == before) {
        return;
      }
      before = available;
      sleep_for(pause_);
    }
  }

  // The kernel wakes us at `target` bytes, or the time is over.
  void wait_for_low_water() {
    pollfd readable{fd_, POLLIN, 0};
    const timespec bound{0, static_cast<long>(std::chrono::nanoseconds(pause_).count())};
    ppoll(&readable, 1, &bound, nullptr);
    ++counts_.sleeps;
  }

  // Walks over the whole frames in the buffer.
  void cut() {
    while (end_ - begin_ >= 5 && !done_) {
      const char* frame = buffer_.data() + begin_;
      const size_t size = size_t{read_big_endian<uint32_t>(frame + 1)} + 1;
      if (end_ - begin_ < size) {
        return;
      }
      take(frame, size);
      begin_ += size;
    }
  }

  void take(const char* frame, size_t size) {
    switch (frame[0]) {
      case 'd': take_copy_data(frame + 5); return;
      case 'E': throw std::runtime_error("server: " + error_text(frame + 5, size - 5));
      case 'W':
      case 'N':
      case 'S': return;
      default: throw std::runtime_error(std::string("unexpected message '") + frame[0] + "'");
    }
  }

  static std::string error_text(const char* at, size_t size) {
    std::string text(at, size);
    std::replace(text.begin(), text.end(), '\0', ' ');
    return text;
  }

  void take_copy_data(const char* data) {
    if (data[0] == 'k') {
      take_keepalive(data);
      return;
    }
    if (counts_.messages++ == 0) {
      first_row_ = Clock::now();
    }
    const char* message = data + 25;  // 'w', start, end, time
    switch (message[0]) {
      case 'I':
      case 'U':
      case 'D':
        if (++counts_.rows == options_.until_rows) {
          done_ = true;
        }
        return;
      case 'C': take_commit(read_big_endian<uint64_t>(message + 10)); return;
      case 'c': take_commit(read_big_endian<uint64_t>(message + 14)); return;
      default: return;
    }
  }

  void take_commit(uint64_t end_lsn) {
    ++counts_.commits;
    done_ = done_ || (options_.until_lsn && end_lsn >= *options_.until_lsn);
  }

  void take_keepalive(const char* data) {
    done_ = done_ || (options_.until_lsn && read_big_endian<uint64_t>(data + 1) >= *options_.until_lsn);
    if (data[17] == 0) {
      return;
    }
    std::string status = "r";
    append_big_endian(status, 0, 8);
    append_big_endian(status, 0, 8);
    append_big_endian(status, 0, 8);
    append_big_endian(status, 0, 8);
    append_big_endian(status, 0, 1);
    std::string copy_data = "d";
    append_big_endian(copy_data, status.size() + 4, 4);
    write_all(fd_, copy_data + status);
  }

  // Found by experiment, see RESULTS.md.
  static constexpr size_t kIdleBytes = 4096;
  static constexpr int kLocalTcpReceiveBuffer = 32768;
  static constexpr int kOpenReceiveBuffer = 262144;
  static constexpr std::chrono::milliseconds kStall{100};
  static constexpr std::chrono::microseconds kLocalTcpPause{3000};
  static constexpr std::chrono::microseconds kOtherPause{100};

  const Options options_;
  std::unique_ptr<PGconn, decltype(&PQfinish)> conn_;
  int fd_ = -1;
  std::chrono::microseconds pause_{0};
  int receive_buffer_ = 0;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t last_read_ = 0;
  size_t drained_ = 0;
  double rate_ = 0;
  Clock::time_point previous_read_ = Clock::now();
  Clock::time_point started_;
  Clock::time_point first_row_;
  Clock::time_point ended_;
  double walsender_cpu_ = 0;
  bool done_ = false;
  Counts counts_;
};

Pause parse_pause(const std::string& name) {
  const std::pair<const char*, Pause> names[] = {{"none", Pause::none},           {"fixed", Pause::fixed},
                                                 {"rate", Pause::rate},           {"available", Pause::available},
                                                 {"low-water", Pause::low_water}, {"drain", Pause::drain}};
  for (const auto& [text, pause] : names) {
    if (name == text) {
      return pause;
    }
  }
  throw std::runtime_error("unknown pause: " + name);
}

Options parse_options(int argc, char** argv) {
  Options options;
  using Setter = std::function<void(const std::string&)>;
  const std::map<std::string, Setter> setters = {
      {"--conninfo", [&](const std::string& v) { options.conninfo = v; }},
      {"--slot", [&](const std::string& v) { options.slot = v; }},
      {"--publication", [&](const std::string& v) { options.publication = v; }},
      {"--proto", [&](const std::string& v) { options.proto = std::stoi(v); }},
      {"--streaming", [&](const std::string& v) { options.streaming = v == "on"; }},
      {"--binary", [&](const std::string& v) { options.binary = v == "on"; }},
      {"--until-lsn", [&](const std::string& v) { options.until_lsn = parse_lsn(v); }},
      {"--until-rows", [&](const std::string& v) { options.until_rows = std::stoull(v); }},
      {"--read-size", [&](const std::string& v) { options.read_size = std::stoull(v); }},
      {"--rcvbuf", [&](const std::string& v) { options.receive_buffer = std::stoi(v); }},
      {"--pause", [&](const std::string& v) { options.pause = parse_pause(v); }},
      {"--pause-us", [&](const std::string& v) { options.pause_time = std::chrono::microseconds(std::stoi(v)); }},
      {"--target", [&](const std::string& v) { options.target = std::stoull(v); }},
      {"--exact-sleep", [&](const std::string& v) { options.exact_sleep = v == "on"; }},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto setter = setters.find(argv[i]);
    if (setter == setters.end() || i + 1 == argc) {
      throw std::runtime_error(std::string("unknown option, or one without its value: ") + argv[i]);
    }
    setter->second(argv[i + 1]);
  }
  if (options.slot.empty() || (!options.until_lsn && !options.until_rows)) {
    throw std::runtime_error("needs --slot, and --until-lsn or --until-rows");
  }
  options.conninfo += " replication=database";
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Reader reader(parse_options(argc, argv));
    reader.run();
    reader.print();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ceiling: %s\n", error.what());
    return 1;
  }
}
