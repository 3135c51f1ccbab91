// Waiting for the operator to end the program.
#ifndef ATTEND_SERVER_APP_SIGNALS_H_
#define ATTEND_SERVER_APP_SIGNALS_H_

namespace attend::app {

// Takes SIGTERM and SIGINT out of their default handling, for this thread and all that it starts later. Call it first
// in main, before any thread.
void BlockTerminationSignals();

// Sleeps until SIGTERM or SIGINT comes and returns its number. REQUIRES: BlockTerminationSignals was called.
int WaitForTerminationSignal();

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_SIGNALS_H_
