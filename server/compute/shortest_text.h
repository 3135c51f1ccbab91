// Numbers in messages: the fewest digits that read back as the same number, so that two that differ look different.
// Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_SHORTEST_TEXT_H_
#define ATTEND_SERVER_COMPUTE_SHORTEST_TEXT_H_

#include <array>
#include <charconv>
#include <concepts>
#include <string>

namespace attend::compute {

// 2 -> "2", 2 + 2^-51 -> "2.0000000000000004", the float 0.1 -> "0.1"; "nan", "inf", "-inf".
template <std::floating_point T>
std::string ShortestText(T number) {
  std::array<char, 32> text;  // at most 24 for a double
  return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_SHORTEST_TEXT_H_
