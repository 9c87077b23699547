// Workers: cupel-emit processes, started when first needed and reused. Whatever happens inside one, the caller lives.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "emit/protocol.h"

namespace cupel {

struct WorkerOptions {
  std::filesystem::path program;             // empty: CUPEL_EMIT, else cupel-emit beside the running program
  int workers = 0;                           // 0: one per CPU this process may use
  int64_t timeout_ms = 120'000;              // of one request
  int64_t memory_bytes = int64_t{12} << 30;  // address space of one worker
  bool plant_defects = false;                // accept the plant requests
};

// Requests may come from several threads at once.
class WorkerPool {
 public:
  explicit WorkerPool(WorkerOptions options = {});
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const { return options_.workers; }
  // The reply's payload. `subject` names what is worked on ("kernel contract_u8_…") and `text` is shown when the worker
  // does not come back: internal when it was ended by a signal or exited, resource when it passed its time or memory.
  Result<Bytes> ask(RequestKind kind, const Bytes& payload, std::string_view subject, std::string_view text = {});
  // LLVM's version and the build of cupel-emit; empty where that has no build id. Asked for once.
  Result<std::string> version();

 private:
  struct Worker {
    pid_t process = -1;
    int socket = -1;
    bool busy = false;
  };
  Status start(Worker& worker);
  // Ends the worker: its status as waitpid gives it.
  static int stop(Worker& worker, bool kill_first) noexcept;
  Result<Bytes> exchange(Worker& worker, RequestKind kind, const Bytes& payload, std::string_view subject,
                         std::string_view text);
  Worker& take();
  void give_back(Worker& worker);

  WorkerOptions options_;
  std::mutex mutex_;
  std::condition_variable free_;
  std::vector<Worker> workers_;
  std::string version_;
};

}  // namespace cupel
