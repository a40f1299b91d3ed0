// signals.h: a polite request to stop. The trainer asks at step boundaries; the ranks agree there
// on the answer. No torch.
#pragma once

namespace titan {

/// From now on the first SIGINT, SIGTERM or SIGUSR1 is only noted (a cluster's warning before it
/// takes the machine back); a second one ends the process at once with exit code 128 + its number.
/// SIGUSR2 is noted, see take_trace_request().
void install_signal_handlers();

/// Number of the signal that came first, 0 if none did.
int requested_signal();

/// Whether SIGUSR2 (a wish for the trace) has come since the last call.
bool take_trace_request();

/// Forgets what came and restores the default actions (tests).
void reset_signal_handlers();

}  // namespace titan
