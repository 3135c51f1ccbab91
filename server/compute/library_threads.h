// OpenBLAS splits its work over threads of its own unless told not to; ours is split already.
#ifndef ATTEND_SERVER_COMPUTE_LIBRARY_THREADS_H_
#define ATTEND_SERVER_COMPUTE_LIBRARY_THREADS_H_

namespace attend::compute {

// To be called before each use of the library; does its work once. Thread-safe.
void UseOneThread();

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIBRARY_THREADS_H_
