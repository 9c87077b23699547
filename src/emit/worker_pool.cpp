#include "emit/worker_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "target/machine.h"

extern char** environ;

namespace cupel {
namespace {

using Clock = std::chrono::steady_clock;

std::filesystem::path default_program() {
  if (const char* named = std::getenv("CUPEL_EMIT"); named != nullptr && *named != 0) return named;
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path("cupel-emit") : self.parent_path() / "cupel-emit";
}

enum class Exchange { done, closed, late };

// Waits until the socket is ready for `events` or the time has come.
Exchange wait_ready(int socket, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return Exchange::late;
    pollfd entry = {socket, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min<int64_t>(left, 1'000'000)));
    if (ready > 0) return Exchange::done;
    if (ready < 0 && errno != EINTR) return Exchange::closed;
  }
}

Exchange send_all(int socket, const void* bytes, size_t size, Clock::time_point deadline) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t sent = send(socket, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      at += sent;
      size -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (const Exchange state = wait_ready(socket, POLLOUT, deadline); state != Exchange::done) return state;
    } else if (errno != EINTR) {
      return Exchange::closed;
    }
  }
  return Exchange::done;
}

Exchange receive_all(int socket, void* bytes, size_t size, Clock::time_point deadline) {
  char* at = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t got = recv(socket, at, size, MSG_DONTWAIT);
    if (got > 0) {
      at += got;
      size -= static_cast<size_t>(got);
    } else if (got == 0) {
      return Exchange::closed;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (const Exchange state = wait_ready(socket, POLLIN, deadline); state != Exchange::done) return state;
    } else if (errno != EINTR) {
      return Exchange::closed;
    }
  }
  return Exchange::done;
}

// The address space that this process, and so each worker, may use at most; 0: no limit.
int64_t own_memory_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? static_cast<int64_t>(limit.rlim_cur)
                                                                              : 0;
}

// What went wrong within a limit of memory went wrong for want of it, as far as anyone can tell.
std::unexpected<Error> within_limit(std::string_view subject, std::string cause, int64_t limit) {
  while (cause.ends_with('\n')) cause.pop_back();
  return resource_error(
      std::string(subject), fmt::format("{}, within a limit of {} MB of memory", cause, limit >> 20),
      "raise the limit (--max-memory); if that does not help, this is a defect of Cupel, please report it");
}

// How a worker had ended by itself, from its status.
std::string end_text(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("cupel-emit was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("cupel-emit was ended with exit code {}", WEXITSTATUS(status));
}

// posix_spawn with `socket` as standard input and output. 0, or an errno.
int spawn(pid_t& process, const char* program, int socket, bool silent, char* const* arguments,
          char* const* environment) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (const int failure = posix_spawn_file_actions_init(&actions); failure != 0) return failure;
  int failure = posix_spawnattr_init(&attributes);
  if (failure == 0) {
    const auto add = [&](int code) { failure = failure != 0 ? failure : code; };
    add(posix_spawn_file_actions_adddup2(&actions, socket, 0));
    add(posix_spawn_file_actions_adddup2(&actions, socket, 1));
    if (silent) add(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0));
    // Ctrl-C reaches the caller, which ends its workers.
    add(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP));
    add(posix_spawnattr_setpgroup(&attributes, 0));
    if (failure == 0) failure = posix_spawn(&process, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return failure;
}

std::string with_text(std::string cause, std::string_view text) {
  return text.empty() ? cause : fmt::format("{}\n{}", cause, text);
}

}  // namespace

WorkerPool::WorkerPool(WorkerOptions options) : options_(std::move(options)) {
  if (options_.program.empty()) options_.program = default_program();
  if (options_.workers <= 0) options_.workers = host_machine().usable_threads();
  if (const int64_t limit = own_memory_limit(); limit > 0)
    options_.memory_bytes = std::min(options_.memory_bytes, limit);
  workers_.resize(static_cast<size_t>(options_.workers));
}

WorkerPool::~WorkerPool() {
  for (Worker& worker : workers_)
    if (worker.process >= 0) stop(worker, true);
}

Status WorkerPool::start(Worker& worker) {
  std::string program = options_.program.string();
  std::string memory = std::to_string(options_.memory_bytes);
  std::vector<char*> arguments = {program.data(), memory.data(), nullptr};
  std::string plant = "CUPEL_EMIT_PLANT=1";
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  if (options_.plant_defects) environment.push_back(plant.data());
  environment.push_back(nullptr);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return resource_error("cupel-emit", fmt::format("no socket: {}", std::strerror(errno)),
                          "close other programs or raise the limit of open files");
  // Under a limit of memory a worker may end before it can say so in its own words.
  const int failure =
      spawn(worker.process, program.c_str(), pair[1], own_memory_limit() > 0, arguments.data(), environment.data());
  close(pair[1]);
  if (failure != 0) {
    close(pair[0]);
    worker.process = -1;
    return resource_error("cupel-emit", fmt::format("\"{}\" cannot be started: {}", program, std::strerror(failure)),
                          "install cupel-emit beside cupel, or name it by the environment variable CUPEL_EMIT");
  }
  worker.socket = pair[0];
  return {};
}

int WorkerPool::stop(Worker& worker, bool kill_first) noexcept {
  if (kill_first) kill(worker.process, SIGKILL);
  close(worker.socket);
  int status = 0;
  while (waitpid(worker.process, &status, 0) < 0 && errno == EINTR) {
  }
  worker.process = -1;
  worker.socket = -1;
  return status;
}

WorkerPool::Worker& WorkerPool::take() {
  std::unique_lock lock(mutex_);
  while (true) {
    // Running workers first.
    for (const bool running : {true, false})
      for (Worker& worker : workers_)
        if (!worker.busy && (worker.process >= 0) == running) {
          worker.busy = true;
          return worker;
        }
    free_.wait(lock);
  }
}

void WorkerPool::give_back(Worker& worker) {
  {
    const std::lock_guard lock(mutex_);
    worker.busy = false;
  }
  free_.notify_one();
}

Result<Bytes> WorkerPool::ask(RequestKind kind, const Bytes& payload, std::string_view subject, std::string_view text) {
  Worker& worker = take();
  struct Return {
    WorkerPool& pool;
    Worker& worker;
    bool whole = false;  // nothing of this exchange is left in the socket
    ~Return() {
      if (!whole && worker.process >= 0) stop(worker, true);
      pool.give_back(worker);
    }
  } give{*this, worker};
  Result<Bytes> reply = exchange(worker, kind, payload, subject, text);
  give.whole = true;
  return reply;
}

Result<Bytes> WorkerPool::exchange(Worker& worker, RequestKind kind, const Bytes& payload, std::string_view subject,
                                   std::string_view text) {
  if (worker.process < 0) CUPEL_TRY(start(worker));
  const auto deadline = Clock::now() + std::chrono::milliseconds(options_.timeout_ms);
  const FrameHeader request = {static_cast<uint32_t>(kind), 0, payload.size()};
  FrameHeader reply;
  Bytes content;
  Exchange state = send_all(worker.socket, &request, sizeof request, deadline);
  if (state == Exchange::done) state = send_all(worker.socket, payload.data(), payload.size(), deadline);
  // A worker that stopped listening may still have said why.
  if (state != Exchange::late) state = receive_all(worker.socket, &reply, sizeof reply, deadline);
  if (state == Exchange::done) {
    if (reply.length > kMaxFrameBytes) {
      stop(worker, true);
      return internal_error(std::string(subject), "cupel-emit sent a reply of an impossible length");
    }
    content.resize(reply.length);
    state = receive_all(worker.socket, content.data(), content.size(), deadline);
  }
  if (state == Exchange::late) {
    stop(worker, true);
    return resource_error(
        std::string(subject),
        with_text(fmt::format("code generation took longer than {} ms and was stopped", options_.timeout_ms), text),
        "this is a defect of Cupel or a machine under heavy load; please report it with the kernel above");
  }
  if (state == Exchange::closed) {
    const std::string end = end_text(stop(worker, false));
    if (const int64_t limit = own_memory_limit(); limit > 0) return within_limit(subject, end, limit);
    return internal_error(std::string(subject), with_text(end, text));
  }
  if (static_cast<ReplyKind>(reply.kind) == ReplyKind::done) return content;
  Error error = error_from_payload(content);
  // After running out of memory a worker ends itself.
  if (error.kind == ErrorKind::resource || error.kind == ErrorKind::internal) {
    stop(worker, true);
    if (const int64_t limit = own_memory_limit(); limit > 0) return within_limit(subject, error.cause, limit);
    error.cause = with_text(std::move(error.cause), text);
  }
  return std::unexpected(std::move(error).within(std::string(subject)));
}

Result<std::string> WorkerPool::version() {
  {
    const std::lock_guard lock(mutex_);
    if (!version_.empty()) return version_;
  }
  const Bytes reply = CUPEL_TRY(ask(RequestKind::version, {}, "cupel-emit"));
  const std::lock_guard lock(mutex_);
  version_.assign(reinterpret_cast<const char*>(reply.data()), reply.size());
  return version_;
}

}  // namespace cupel
