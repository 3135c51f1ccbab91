// Waiting for the operator to end the program, and seeing that it ends.
#ifndef ATTEND_SERVER_APP_SIGNALS_H_
#define ATTEND_SERVER_APP_SIGNALS_H_

#include <chrono>

namespace attend::app {

// Takes SIGTERM and SIGINT out of their default handling, for this thread and all that it starts later. Call it first
// in main, before any thread.
void BlockTerminationSignals();

// Sleeps until SIGTERM or SIGINT comes and returns its number. REQUIRES: BlockTerminationSignals was called.
int WaitForTerminationSignal();

// Ends the process with `code` after `time`, whatever it does then, with a line on stderr. Returns at once.
void EndProcessAfter(std::chrono::milliseconds time, int code);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_SIGNALS_H_
