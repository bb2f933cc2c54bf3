# Writes OUTPUT, a C++ source that defines tailrace::cli::embedded_pages() from the Markdown files in PAGES
# (joined by commas). Run as: cmake -DOUTPUT=... -DPAGES=... -P EmbedDocs.cmake
string(REPLACE "," ";" pages "${PAGES}")
set(entries "")
foreach(page ${pages})
  get_filename_component(name "${page}" NAME_WE)
  file(READ "${page}" text)
  string(REGEX MATCH "^# ([^\n]*)" _ "${text}")
  set(title "${CMAKE_MATCH_1}")
  string(APPEND entries "    {\"${name}\", R\"~~(${title})~~\", R\"~~(${text})~~\"},\n")
endforeach()
file(WRITE "${OUTPUT}.new" "#include \"cli/embedded_docs.h\"

namespace tailrace::cli {
namespace {

constexpr EmbeddedPage kPages[] = {
${entries}};

}  // namespace

std::span<const EmbeddedPage> embedded_pages() { return kPages; }

}  // namespace tailrace::cli
")
file(COPY_FILE "${OUTPUT}.new" "${OUTPUT}" ONLY_IF_DIFFERENT)
file(REMOVE "${OUTPUT}.new")
