// Waiting for the operator to end the program, and seeing that it ends.
#ifndef ATTEND_SERVER_APP_SIGNALS_H_
#define ATTEND_SERVER_APP_SIGNALS_H_

#include <chrono>

namespace attend::app {

// Takes SIGTERM and SIGINT out of their default handling: they wait for this thread, also where one that a library
// started before main gets them. Call it first in main.
void BlockTerminationSignals();

// Sleeps until SIGTERM or SIGINT comes and returns its number. REQUIRES: BlockTerminationSignals was called.
int WaitForTerminationSignal();

// Ends the process with `code` after `time`, whatever it does then, with a line on stderr. Returns at once.
void EndProcessAfter(std::chrono::milliseconds time, int code);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_SIGNALS_H_
