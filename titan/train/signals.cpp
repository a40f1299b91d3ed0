#include "titan/train/signals.h"

#include <signal.h>
#include <unistd.h>
#include <atomic>
#include <cstring>

namespace titan {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGUSR1};

std::atomic<int> first_signal = 0;
std::atomic<bool> trace_requested = false;
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void on_signal(int number) {
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, number)) _exit(128 + number);
  // Only write() is allowed here. The number is in the trainer's own message.
  static const char kNote[] =
      "[train] a signal came: stopping after this step; another one ends at once\n";
  const ssize_t written = write(STDERR_FILENO, kNote, sizeof(kNote) - 1);
  (void)written;
}

void on_trace_request(int) { trace_requested = true; }

void set_action(void (*handler)(int), void (*trace_handler)(int)) {
  struct sigaction action;
  std::memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // reads and waits of other threads go on
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) sigaction(number, &action, nullptr);
  action.sa_handler = trace_handler;
  sigaction(SIGUSR2, &action, nullptr);
}

}  // namespace

void install_signal_handlers() { set_action(on_signal, on_trace_request); }

int requested_signal() { return first_signal.load(); }

bool take_trace_request() { return trace_requested.exchange(false); }

void reset_signal_handlers() {
  set_action(SIG_DFL, SIG_DFL);
  trace_requested = false;
  first_signal = 0;
}

}  // namespace titan
