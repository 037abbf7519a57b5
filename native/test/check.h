#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

/// A test program in a few lines: TEST registers, CHECK counts, runTests prints `N passed, N failed`.
namespace stator::test {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline bool& currentFailed() {
  static bool failed = false;
  return failed;
}

struct Register {
  Register(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline void fail(const char* file, int line, const char* what) {
  std::printf("  %s:%d: %s\n", file, line, what);
  currentFailed() = true;
}

/// Runs every `parts`-th test from `part` on; what each printed is out before it can end the process.
inline int runTests(size_t part, size_t parts) {
  size_t ran = 0;
  size_t failed = 0;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (size_t at = part; at < tests().size(); at += parts) {
    const auto& test = tests()[at];
    ran++;
    currentFailed() = false;
    try {
      test.body();
    } catch (const std::exception& error) {
      fail(test.name, 0, error.what());
    }
    if (currentFailed()) std::printf("FAILED %s\n", test.name);
    failed += currentFailed() ? 1 : 0;
  }
  std::printf("%zu passed, %zu failed\n", ran - failed, failed);
  return failed == 0 ? 0 : 1;
}

/// A small generator with a seed, the same on every machine.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// In [0, bound).
  uint64_t below(uint64_t bound) { return next() % bound; }
  double unit() { return static_cast<double>(next() >> 11) / 9007199254740992.0; }

 private:
  uint64_t state_;
};

}  // namespace stator::test

#define TEST(name)                                                        \
  static void test_##name();                                              \
  static const stator::test::Register register_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(condition) \
  if (!(condition)) stator::test::fail(__FILE__, __LINE__, #condition)
