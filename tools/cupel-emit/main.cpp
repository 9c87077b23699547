// cupel-emit: the one program that holds LLVM. Serves requests (emit/protocol.h) on its standard input, a socket, until
// the other side closes it. Its argument is the address space it may use, in bytes.
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "emit/llvm/emit_kernel.h"
#include "emit/llvm/emitter_version.h"
#include "emit/llvm/image_tables.h"
#include "emit/llvm/link.h"
#include "emit/protocol.h"

namespace cupel {
namespace {

constexpr int kSocket = 0;

bool receive_all(void* bytes, size_t size) {
  char* at = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t got = read(kSocket, at, size);
    if (got > 0) {
      at += got;
      size -= static_cast<size_t>(got);
    } else if (got == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool send_all(const void* bytes, size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t sent = send(kSocket, at, size, MSG_NOSIGNAL);
    if (sent > 0) {
      at += sent;
      size -= static_cast<size_t>(sent);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool reply(ReplyKind kind, const Bytes& content) {
  const FrameHeader header = {static_cast<uint32_t>(kind), 0, content.size()};
  return send_all(&header, sizeof header) && send_all(content.data(), content.size());
}

// Set up before memory runs out: the reply to send then.
Bytes no_memory_reply;

[[noreturn]] void out_of_memory() {
  reply(ReplyKind::error, no_memory_reply);
  _exit(6);
}

[[noreturn]] void fatal_error(void*, const char* reason, bool) {
  reply(ReplyKind::error, to_payload(Error{ErrorKind::internal, "LLVM", reason,
                                           "this is a defect of Cupel; please report it with the model"}));
  _exit(5);
}

[[noreturn]] void plant_memory() {
  while (true) {
    auto* block = new char[size_t{1} << 24];
    std::memset(block, 1, size_t{1} << 24);
    asm volatile("" : : "r"(block) : "memory");
  }
}

Result<Bytes> object_or_ir(const Bytes& payload, bool ir) {
  const ObjectRequest request = CUPEL_TRY(from_payload<ObjectRequest>(payload));
  const EmitTarget target = CUPEL_TRY(find_emit_target(request.target));
  const Kernel kernel = CUPEL_TRY(parse_kernel(request.kernel));
  CUPEL_TRY(check_kernel(kernel));
  if (!ir) return emit_object(kernel, target, request.symbol, {request.code_generation_level});
  const std::string text = CUPEL_TRY(emit_ir(kernel, target, request.symbol));
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(bytes, bytes + text.size());
}

Result<Bytes> serve(RequestKind kind, const Bytes& payload) {
  const bool plant = std::getenv("CUPEL_EMIT_PLANT") != nullptr;
  switch (kind) {
    case RequestKind::version: {
      const std::string text = emitter_version();
      const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
      return Bytes(bytes, bytes + text.size());
    }
    case RequestKind::object: return object_or_ir(payload, false);
    case RequestKind::ir: return object_or_ir(payload, true);
    case RequestKind::tables: {
      const auto chain = CUPEL_TRY(from_payload<ImageChain>(payload));
      const EmitTarget target = CUPEL_TRY(find_emit_target(chain.images.empty() ? "" : chain.images[0].target));
      return tables_object(chain, target);
    }
    case RequestKind::link: {
      const LinkRequest request = CUPEL_TRY(from_payload<LinkRequest>(payload));
      CUPEL_TRY(link_library(request));
      return Bytes();
    }
    case RequestKind::plant_abort:
      if (plant) std::abort();
      break;
    case RequestKind::plant_hang:
      if (plant)
        while (true) pause();
      break;
    case RequestKind::plant_memory:
      if (plant) plant_memory();
      break;
  }
  return internal_error("cupel-emit", "a request of unknown kind");
}

int run(const char* memory) {
#if !defined(CUPEL_ADDRESS_SANITIZER)  // its shadow alone takes more address space than any limit
  const rlimit limit = {std::strtoull(memory, nullptr, 10), RLIM_INFINITY};
  if (limit.rlim_cur > 0) setrlimit(RLIMIT_AS, &limit);
#endif
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  no_memory_reply = to_payload(
      Error{ErrorKind::resource, "", "code generation ran out of memory",
            "this is a defect of Cupel or a machine with little memory; please report it with the kernel above"});
  std::set_new_handler(out_of_memory);
  install_fatal_error_replies(fatal_error);
  // When the other side goes while work is under way, nobody waits for the result.
  try {
    std::thread([] {
      pollfd entry = {kSocket, POLLRDHUP, 0};
      while (poll(&entry, 1, -1) <= 0) {
      }
      _exit(0);
    }).detach();
  } catch (const std::system_error&) {
    out_of_memory();
  }
  while (true) {
    FrameHeader header;
    if (!receive_all(&header, sizeof header)) return 0;
    if (header.length > kMaxFrameBytes) return 5;
    Bytes payload(header.length);
    if (!receive_all(payload.data(), payload.size())) return 0;
    const Result<Bytes> result = serve(static_cast<RequestKind>(header.kind), payload);
    if (!(result ? reply(ReplyKind::done, *result) : reply(ReplyKind::error, to_payload(result.error())))) return 0;
  }
}

}  // namespace
}  // namespace cupel

int main(int argc, char** argv) {
  if (argc != 2 || isatty(0)) {
    const char text[] = "cupel-emit is started by cupel, not by hand\n";
    [[maybe_unused]] const ssize_t written = write(2, text, sizeof text - 1);
    return 2;
  }
  return cupel::run(argv[1]);
}
