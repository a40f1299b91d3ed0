#include "titan/parallel/call_queue.h"

#include <utility>

namespace titan::parallel {

CallQueue::CallQueue() : thread_([this] { serve(); }) {}

CallQueue::~CallQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::shared_ptr<CallQueue::Call> CallQueue::add(std::function<void()> work) {
  auto call = std::make_shared<Call>(Call{.work = std::move(work)});
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(call);
  }
  changed_.notify_all();
  return call;
}

void CallQueue::wait(const Call& call) {
  std::unique_lock lock(mutex_);
  while (!call.done) {
    if (!running_ && !waiting_.empty()) {
      run_next(lock);
    } else {
      changed_.wait(lock);
    }
  }
  if (call.error) std::rethrow_exception(call.error);
}

bool CallQueue::done(const Call& call) {
  const std::lock_guard lock(mutex_);
  return call.done;
}

void CallQueue::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || (!running_ && !waiting_.empty()); });
    if (stop_) return;
    run_next(lock);
  }
}

void CallQueue::run_next(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Call> call = std::move(waiting_.front());
  waiting_.pop_front();
  running_ = true;
  lock.unlock();
  try {
    call->work();
  } catch (...) {
    call->error = std::current_exception();
  }
  lock.lock();
  call->work = {};  // the tensors that it held
  call->done = true;
  running_ = false;
  changed_.notify_all();
}

}  // namespace titan::parallel
