#include "server/compute/lie/chain_structure.h"

#include <algorithm>
#include <numeric>

namespace attend::compute {
namespace {

// Tarjan's algorithm with a stack of its own: a path may be as long as the chain has states.
class Components {
 public:
  explicit Components(const Matrix<const double>& s)
      : s_(s), n_(s.rows), order_(size(), kUnseen), low_(size(), 0), next_(size(), 0), component_(size(), kUnseen) {}

  // The component of each state, numbered from 0.
  const std::vector<int64_t>& Find() {
    for (int64_t root = 0; root < n_; ++root) {
      if (order_[at(root)] == kUnseen) Visit(root);
    }
    return component_;
  }
  int64_t count() const { return count_; }

 private:
  static constexpr int64_t kUnseen = -1;
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  size_t size() const { return at(n_); }

  void Enter(int64_t state) {
    order_[at(state)] = low_[at(state)] = entered_++;
    path_.push_back(state);
    open_.push_back(state);
  }

  void Visit(int64_t root) {
    Enter(root);
    while (!path_.empty()) {
      const int64_t state = path_.back();
      if (!Advance(state)) Leave(state);
    }
  }

  // Follows the next edge of `state`; false where there is none left.
  bool Advance(int64_t state) {
    for (int64_t& to = next_[at(state)]; to < n_;) {
      const int64_t target = to++;
      if (!(s_.row(state)[target] > 0)) continue;
      if (order_[at(target)] == kUnseen) {
        Enter(target);
        return true;
      }
      if (component_[at(target)] == kUnseen) low_[at(state)] = std::min(low_[at(state)], order_[at(target)]);
    }
    return false;
  }

  void Leave(int64_t state) {
    path_.pop_back();
    if (!path_.empty()) low_[at(path_.back())] = std::min(low_[at(path_.back())], low_[at(state)]);
    if (low_[at(state)] != order_[at(state)]) return;
    for (int64_t member = kUnseen; member != state; open_.pop_back()) {
      member = open_.back();
      component_[at(member)] = count_;
    }
    ++count_;
  }

  const Matrix<const double>& s_;
  const int64_t n_;
  int64_t entered_ = 0;
  int64_t count_ = 0;
  std::vector<int64_t> order_, low_, next_, component_, path_, open_;
};

// gcd over all edges of (distance of the tail + 1 - distance of the head), distances counted from one state.
int64_t PeriodOf(const Matrix<const double>& s, const std::vector<int64_t>& states) {
  std::vector<int64_t> distance(static_cast<size_t>(s.rows), -1);
  std::vector<int64_t> queue = {states.front()};
  distance[static_cast<size_t>(states.front())] = 0;
  int64_t period = 0;
  for (size_t next = 0; next < queue.size(); ++next) {
    const int64_t from = queue[next];
    for (const int64_t to : states) {
      if (!(s.row(from)[to] > 0)) continue;
      int64_t& there = distance[static_cast<size_t>(to)];
      if (there < 0) {
        there = distance[static_cast<size_t>(from)] + 1;
        queue.push_back(to);
      } else {
        period = std::gcd(period, distance[static_cast<size_t>(from)] + 1 - there);
      }
    }
  }
  return period;
}

}  // namespace

ChainStructure StructureOfChain(const Matrix<const double>& s) {
  ChainStructure structure;
  Components components(s);
  const std::vector<int64_t>& component = components.Find();
  structure.classes.resize(static_cast<size_t>(components.count()));
  for (int64_t i = 0; i < s.rows; ++i) {
    CommunicatingClass& own = structure.classes[static_cast<size_t>(component[static_cast<size_t>(i)])];
    own.states.push_back(i);
    for (int64_t j = 0; j < s.cols; ++j) {
      if (s.row(i)[j] > 0 && component[static_cast<size_t>(j)] != component[static_cast<size_t>(i)]) own.closed = false;
    }
  }
  const auto closed = [](const CommunicatingClass& each) { return each.closed; };
  structure.closed_classes = std::count_if(structure.classes.begin(), structure.classes.end(), closed);
  if (structure.closed_classes != 1) return structure;
  structure.closed = std::find_if(structure.classes.begin(), structure.classes.end(), closed)->states;
  structure.period = PeriodOf(s, structure.closed);
  return structure;
}

}  // namespace attend::compute
