#include "emit/llvm/link.h"

#include <fmt/format.h>
#include <link.h>

#include <cstring>
#include <filesystem>
#include <span>

#include "base/file.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "lld/Common/Driver.h"
#include "llvm/Support/raw_ostream.h"
#pragma GCC diagnostic pop

LLD_HAS_DRIVER(elf)

// The static archive of the runtime, as built beside this program.
extern "C" const unsigned char cupel_runtime_archive[];
extern "C" const unsigned char cupel_runtime_archive_end[];
__asm__(
    ".section .rodata\n"
    ".global cupel_runtime_archive\n"
    ".global cupel_runtime_archive_end\n"
    "cupel_runtime_archive:\n"
    ".incbin \"" CUPEL_RUNTIME_ARCHIVE
    "\"\n"
    "cupel_runtime_archive_end:\n"
    ".byte 0\n"
    ".previous\n");

namespace cupel {
namespace {

// The C library that this process itself runs with; empty when it cannot be found.
std::string c_library_path() {
  std::string path;
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* found) {
        const std::filesystem::path name(object->dlpi_name);
        if (name.filename() == "libc.so.6") *static_cast<std::string*>(found) = name.string();
        return 0;
      },
      &path);
  return path;
}

}  // namespace

Status link_library(const LinkRequest& request) {
  const std::filesystem::path folder = std::filesystem::path(request.output).parent_path();
  std::string script = "{\n  global:\n";
  for (const std::string& name : request.exports) script += fmt::format("    {};\n", name);
  script += "  local: *;\n};\n";
  const std::string script_path = (folder / "exports.map").string();
  CUPEL_TRY(write_file(script_path, script));
  std::vector<std::string> arguments = {"ld.lld",
                                        "-shared",
                                        "-Bsymbolic",
                                        "--no-undefined",
                                        "--gc-sections",
                                        "--hash-style=gnu",
                                        "--build-id=none",
                                        "-z",
                                        "now",
                                        "-z",
                                        "relro",
                                        "-z",
                                        "noexecstack",
                                        "--exclude-libs",
                                        "ALL",
                                        "--threads=2",
                                        "--version-script",
                                        script_path,
                                        "-o",
                                        request.output};
  for (const std::string& input : request.inputs) arguments.push_back(input);
  if (request.with_runtime) {
    const auto size = static_cast<size_t>(cupel_runtime_archive_end - cupel_runtime_archive);
    const std::string archive = (folder / "runtime.a").string();
    CUPEL_TRY(write_file(archive, std::span(reinterpret_cast<const std::byte*>(cupel_runtime_archive), size)));
    arguments.push_back(archive);
  }
  const std::string c_library = c_library_path();
  if (c_library.empty()) return internal_error("linking", "libc.so.6 is not loaded in cupel-emit");
  arguments.insert(arguments.end(), {"--as-needed", c_library});
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  const lld::Result result = lld::lldMain(pointers, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0) return internal_error("linking", stream.str());
  return {};
}

}  // namespace cupel
