#include "sinks/duckdb/safety_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/unique_fd.h"

namespace tailrace::duckdb {
namespace {

constexpr const char* kList = "export.txt";
constexpr const char* kPart = ".part";
constexpr std::string_view kForm = "tailrace-history 1";

[[noreturn]] void damaged(const std::filesystem::path& what, const std::string& why) {
  throw CorruptionError("TR627", fmt::format("the safety of the histories is damaged: {} {}", what.string(), why),
                        "look at the disk; move the directory away: the next export begins a new one");
}

[[noreturn]] void failed(const char* doing, const std::filesystem::path& what) {
  throw RetryError("TR628",
                   fmt::format("the histories' safety: cannot {} {}: {}", doing, what.string(), std::strerror(errno)),
                   "make room on the disk of the target, and see that its directory is writable");
}

void sync(const std::filesystem::path& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (!fd || ::fsync(fd.get()) != 0) failed("sync", path);
}

/// The file's checksum and size; nothing when it cannot be read.
std::optional<SafetyFile> look_at(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  SafetyFile file{path.filename().string()};
  std::vector<char> piece(1 << 20);
  while (in) {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto got = static_cast<std::size_t>(in.gcount());
    file.crc = crc32c({piece.data(), got}, file.crc);
    file.bytes += got;
  }
  if (in.bad()) return std::nullopt;
  return file;
}

std::string text_of(const SafetyExport& made) {
  std::string text = fmt::format("{}\nat {}\nafter {}\nmark {}\npipeline {}\nsource {}\n", kForm, made.at.str(),
                                 made.after, made.mark, made.pipeline, made.source_id);
  for (const SafetyFile& file : made.files) text += fmt::format("file {:08x} {} {}\n", file.crc, file.bytes, file.name);
  return text + fmt::format("end {:08x}\n", crc32c(text));
}

SafetyFile parse_file(const std::string& line, const std::filesystem::path& list) {
  std::istringstream words(line);
  SafetyFile file;
  words >> std::hex >> file.crc >> std::dec >> file.bytes >> file.name;
  if (words.fail()) damaged(list, "cannot be understood");
  return file;
}

SafetyExport read_export(const std::filesystem::path& directory) {
  const std::filesystem::path list = directory / kList;
  std::ifstream in(list, std::ios::binary);
  std::string before;
  std::string line;
  SafetyExport made;
  for (bool first = true; std::getline(in, line); first = false) {
    if (first && line != kForm) damaged(list, "has another form");
    const std::size_t blank = std::min(line.find(' '), line.size());
    const std::string key = line.substr(0, blank);
    const std::string value = blank < line.size() ? line.substr(blank + 1) : std::string();
    if (key == "end") {
      if (value != fmt::format("{:08x}", crc32c(before))) break;
      if (made.name() != directory.filename().string()) damaged(list, "belongs to another directory");
      return made;
    }
    before += line + '\n';
    if (key == "at") made.at = Position::parse(value).value_or(Position());
    if (key == "after") made.after = value;
    if (key == "mark") std::from_chars(value.data(), value.data() + value.size(), made.mark);
    if (key == "pipeline") made.pipeline = value;
    if (key == "source") made.source_id = value;
    if (key == "file") made.files.push_back(parse_file(value, list));
  }
  damaged(list, "is missing or not as it was written");
}

std::vector<std::string> names_below(const std::filesystem::path& root) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root, missing))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::string SafetyExport::name() const {
  return fmt::format("{:08x}-{:016x}-{:016x}", at.epoch, at.commit_end.value(), at.ordinal);
}

std::uint64_t SafetyExport::bytes() const {
  std::uint64_t sum = 0;
  for (const SafetyFile& file : files) sum += file.bytes;
  return sum;
}

std::filesystem::path safety_root(const std::filesystem::path& target) { return target.string() + ".history"; }

void seal_export(const std::filesystem::path& root, const std::filesystem::path& part, SafetyExport& made) {
  for (const std::string& name : names_below(part)) {
    const auto file = look_at(part / name);
    if (!file) failed("read", part / name);
    made.files.push_back(*file);
    sync(part / name, 0);
  }
  std::ofstream(part / kList, std::ios::binary) << text_of(made);
  sync(part / kList, 0);
  sync(part, O_DIRECTORY);
  std::error_code error;
  std::filesystem::rename(part, root / made.name(), error);
  if (error) failed("name", part);
  sync(root, O_DIRECTORY);
}

std::vector<SafetyExport> read_exports(const std::filesystem::path& root) {
  std::vector<std::string> names = names_below(root);
  std::erase_if(names, [](const std::string& name) { return name.ends_with(kPart); });
  std::vector<SafetyExport> exports;
  for (std::string next = names.empty() ? "" : names.back(); !next.empty(); next = exports.back().after)
    exports.push_back(read_export(root / next));
  std::ranges::reverse(exports);
  return exports;
}

void verify_exports(const std::filesystem::path& root, const std::vector<SafetyExport>& exports) {
  for (const SafetyExport& made : exports) {
    for (const SafetyFile& file : made.files) {
      const std::filesystem::path path = root / made.name() / file.name;
      const auto found = look_at(path);
      if (!found || found->crc != file.crc || found->bytes != file.bytes)
        damaged(path, "is missing or not as it was written");
    }
  }
}

void tidy_exports(const std::filesystem::path& root) {
  std::set<std::string> needed;
  for (const SafetyExport& made : read_exports(root)) needed.insert(made.name());
  std::error_code ignored;  // what stays is removed another time
  for (const std::string& name : names_below(root))
    if (!needed.contains(name)) std::filesystem::remove_all(root / name, ignored);
}

}  // namespace tailrace::duckdb
