// Splits the elements of one tensor into parts that several threads gather, and between which a call can be cancelled.
#ifndef ATTEND_SERVER_RPC_GATHER_PARTS_H_
#define ATTEND_SERVER_RPC_GATHER_PARTS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::rpc {

// One part of about a megabyte: large beside what it costs to start, small beside the wait for a cancelled call's end.
inline constexpr int64_t kPartElements = 1 << 18;
// What gathering one byte counts as, beside arithmetic (measured: 16 multiply-adds in its time).
inline constexpr double kFlopsOfByte = 32;

// gather(in, begin, count) for parts that cover [0, elements), with `in` a copy of the source at that place. Source
// needs Skip(bytes). The first failure in the elements' order, however the parts ran; CANCELLED or DEADLINE_EXCEEDED
// from `executor`, which may be null: all is one part then, on the calling thread.
template <typename Source, typename GatherPart>
absl::Status ForEachPart(runtime::Executor* executor, Source in, int64_t elements, int64_t bytes_each,
                         const GatherPart& gather) {
  if (executor == nullptr || elements <= kPartElements) return gather(in, 0, elements);
  const int64_t parts = (elements + kPartElements - 1) / kPartElements;
  std::vector<Source> starts;
  for (int64_t part = 0; part < parts; ++part) {
    starts.push_back(in);
    in.Skip(static_cast<uint64_t>(std::min(kPartElements, elements - part * kPartElements) * bytes_each));
  }
  std::vector<absl::Status> gathered(static_cast<size_t>(parts));
  const double flops = kFlopsOfByte * static_cast<double>(kPartElements * bytes_each);
  const absl::Status all = executor->ForEachTile(parts, flops, [&](int64_t part, int) {
    const int64_t begin = part * kPartElements;
    const auto index = static_cast<size_t>(part);
    gathered[index] = gather(starts[index], begin, std::min(kPartElements, elements - begin));
    return absl::OkStatus();
  });
  if (!all.ok()) return all;
  for (const absl::Status& each : gathered) {
    if (!each.ok()) return each;
  }
  return absl::OkStatus();
}

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_GATHER_PARTS_H_
