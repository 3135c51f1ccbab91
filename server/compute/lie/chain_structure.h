// What the support of a transition matrix says, without its numbers: which states are ever left for good, and whether
// the chain runs in circles. Pure functions, thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_CHAIN_STRUCTURE_H_
#define ATTEND_SERVER_COMPUTE_LIE_CHAIN_STRUCTURE_H_

#include <cstdint>
#include <vector>

#include "server/compute/gemm.h"

namespace attend::compute {

// States that reach each other, ascending.
struct CommunicatingClass {
  std::vector<int64_t> states;
  bool closed = true;
};

// A closed class: states that reach each other and nothing else. A chain has at least one; its stationary distribution
// is unique where it has exactly one.
struct ChainStructure {
  std::vector<CommunicatingClass> classes;  // every state is in one; S is block triangular in some order of them
  int64_t closed_classes = 0;
  std::vector<int64_t> closed;  // the states of the only closed class, ascending; empty where there are several
  int64_t period = 0;           // of that class: gcd of the lengths of its cycles; 0 where there are several
};

// Of s [n, n], where i reaches j in one step if s[i, j] > 0. Strongly connected components (Tarjan 1972): O(n^2).
ChainStructure StructureOfChain(const Matrix<const double>& s);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_CHAIN_STRUCTURE_H_
