#include <cstdlib>

#include "check.h"

/// All tests, or the share of one of several processes: `tests PART PARTS`, counted from 0.
int main(int count, char** args) {
  const bool shared = count == 3;
  const size_t part = shared ? std::strtoul(args[1], nullptr, 10) : 0;
  return stator::test::runTests(part, shared ? std::strtoul(args[2], nullptr, 10) : 1);
}
