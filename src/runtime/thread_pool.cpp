#include "runtime/thread_pool.h"

namespace cupel {

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads) {
  pthread_mutex_init(&mutex_, nullptr);
  pthread_cond_init(&start_, nullptr);
  pthread_cond_init(&done_, nullptr);
  for (int i = 1; i < threads_; ++i) {
    workers_[i] = {this, i};
    if (pthread_create(&handles_[i], nullptr, worker_main, &workers_[i]) != 0) {
      threads_ = i;  // fewer threads than asked for: the split below uses those that started
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  pthread_mutex_lock(&mutex_);
  stopping_ = true;
  pthread_cond_broadcast(&start_);
  pthread_mutex_unlock(&mutex_);
  for (int i = 1; i < threads_; ++i) pthread_join(handles_[i], nullptr);
  pthread_cond_destroy(&done_);
  pthread_cond_destroy(&start_);
  pthread_mutex_destroy(&mutex_);
}

void ThreadPool::run_part(int part) {
  const int64_t begin = count_ * part / parts_, end = count_ * (part + 1) / parts_;
  if (begin < end) entry_(context_, begin, end);
}

void ThreadPool::run(int64_t count, int64_t grain, Entry entry, void* context) {
  if (count <= 0) return;
  const int64_t pieces = grain > 1 ? count / grain : count;
  const int parts = static_cast<int>(pieces < 1 ? 1 : pieces > threads_ ? threads_ : pieces);
  if (parts == 1) {
    entry(context, 0, count);
    return;
  }
  pthread_mutex_lock(&mutex_);
  entry_ = entry;
  context_ = context;
  count_ = count;
  parts_ = parts;
  running_ = threads_ - 1;
  ++call_;
  pthread_cond_broadcast(&start_);
  pthread_mutex_unlock(&mutex_);
  run_part(0);
  pthread_mutex_lock(&mutex_);
  while (running_ > 0) pthread_cond_wait(&done_, &mutex_);
  pthread_mutex_unlock(&mutex_);
}

void* ThreadPool::worker_main(void* argument) {
  const auto* worker = static_cast<const Worker*>(argument);
  ThreadPool& pool = *worker->pool;
  uint64_t seen = 0;
  pthread_mutex_lock(&pool.mutex_);
  for (;;) {
    while (!pool.stopping_ && pool.call_ == seen) pthread_cond_wait(&pool.start_, &pool.mutex_);
    if (pool.stopping_) break;
    seen = pool.call_;
    pthread_mutex_unlock(&pool.mutex_);
    if (worker->index < pool.parts_) pool.run_part(worker->index);
    pthread_mutex_lock(&pool.mutex_);
    if (--pool.running_ == 0) pthread_cond_signal(&pool.done_);
  }
  pthread_mutex_unlock(&pool.mutex_);
  return nullptr;
}

}  // namespace cupel
