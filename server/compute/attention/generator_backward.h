// The generator_exp half of AttentionBackward, for a problem that is prepared (see prepare.h).
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_BACKWARD_H_

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/softmax_backward.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// As AttentionBackward for generator_exp. Nothing is finished or checked. Of `forward`, grad_output alone is read.
template <typename T>
absl::Status GeneratorBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator,
                               const AttentionForward<T>& forward, const PreparedGradients<T>& gradients);

// Bytes that one head takes while it is at work.
template <typename T>
double GeneratorBackwardBytes(const AttentionProblem<T>& problem);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_BACKWARD_H_
