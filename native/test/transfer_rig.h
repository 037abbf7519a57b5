#pragma once
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "check.h"
#include "core/xxh3.h"
#include "transfer/job.h"

/// Plans of blocks, and jobs whose end can be waited for.
namespace stator::test {

/// Waits for somebody else.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    isOpen_ = true;
    wake_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::seconds(20), [&] { return isOpen_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool isOpen_ = false;
};

/// What somebody on another thread comes to say once.
template <typename T>
class Late {
 public:
  void set(T value) {
    const std::lock_guard lock(mutex_);
    if (value_.has_value()) throw std::runtime_error("it was said twice");
    value_ = std::move(value);
    wake_.notify_all();
  }
  T wait() {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, std::chrono::seconds(20), [&] { return value_.has_value(); })) {
      throw std::runtime_error("nobody said it");
    }
    return *value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<T> value_;
};

struct Plan {
  std::vector<uint64_t> from;
  std::vector<uint64_t> to;
  size_t blockBytes = 0;
};

struct Submitted {
  std::shared_ptr<transfer::Job> job;
  std::shared_ptr<Late<transfer::CopyResult>> outcome;
};

inline std::shared_ptr<transfer::Region> filledRegion(Rng& rng, uint32_t id, size_t bytes) {
  const auto region = transfer::Region::open(id, bytes);
  for (size_t at = 0; at + 8 <= bytes; at += 8) {
    const uint64_t word = rng.next();
    std::memcpy(region->data() + at, &word, 8);
  }
  return region;
}

/// So many neighbours.
inline Plan evenPlan(size_t blocks, size_t blockBytes) {
  Plan plan{{}, {}, blockBytes};
  for (size_t i = 0; i < blocks; i++) {
    plan.from.push_back(i * blockBytes);
    plan.to.push_back(i * blockBytes);
  }
  return plan;
}

/// Blocks of any size and order, some of them neighbours, none over another.
inline Plan randomPlan(Rng& rng, size_t bytes) {
  Plan plan;
  plan.blockBytes = 1 + rng.below(rng.below(3) == 0 ? bytes / 2 : 40'000);
  const size_t places = bytes / plan.blockBytes;
  const size_t count = 1 + rng.below(std::min<size_t>(places, 600));
  size_t from = rng.below(places);
  size_t to = rng.below(places);
  const size_t step = rng.below(2) == 0 ? 1 : 1 + rng.below(3);
  for (size_t i = 0; i < count; i++) {
    plan.from.push_back(from % places * plan.blockBytes);
    plan.to.push_back(to % places * plan.blockBytes);
    from += rng.below(4) == 0 ? step : 1;
    to++;
  }
  return plan;
}

inline transfer::CopyOrder orderOf(const std::shared_ptr<transfer::Region>& from,
                                   const std::shared_ptr<transfer::Region>& to, const Plan& plan, bool checks) {
  transfer::CopyOrder order{to, plan.from, plan.to, plan.blockBytes, {}, transfer::Clock::now() + std::chrono::seconds(30)};
  for (const uint64_t offset : plan.from) {
    if (checks) order.checksums.push_back(xxh3(from->data() + offset, plan.blockBytes, kChecksumSeed));
  }
  return order;
}

inline Submitted jobOf(transfer::CopyOrder order) {
  const auto outcome = std::make_shared<Late<transfer::CopyResult>>();
  auto job = std::make_shared<transfer::Job>(std::move(order), [outcome](transfer::CopyResult result) {
    outcome->set(std::move(result));
  });
  return {std::move(job), outcome};
}

inline Submitted submit(transfer::Source& source, transfer::CopyOrder order) {
  auto made = jobOf(std::move(order));
  source.submit(made.job);
  return made;
}

inline transfer::CopyResult copyOrder(transfer::Source& source, transfer::CopyOrder order) {
  return submit(source, std::move(order)).outcome->wait();
}

inline transfer::CopyResult copyPlan(transfer::Source& source, const std::shared_ptr<transfer::Region>& from,
                                     const std::shared_ptr<transfer::Region>& to, const Plan& plan, bool checks) {
  return copyOrder(source, orderOf(from, to, plan, checks));
}

inline transfer::CopyResult copyAll(transfer::Source& source, const std::shared_ptr<transfer::Region>& to,
                                    std::vector<uint64_t> from, std::vector<uint64_t> into, size_t blockBytes) {
  return copyOrder(source, {to, std::move(from), std::move(into), blockBytes, {},
                            transfer::Clock::now() + std::chrono::seconds(30)});
}

/// Whether the first blocks of a plan lie where they should.
inline bool arrived(const transfer::Region& from, const transfer::Region& to, const Plan& plan, size_t blocks) {
  for (size_t i = 0; i < blocks; i++) {
    if (std::memcmp(from.data() + plan.from[i], to.data() + plan.to[i], plan.blockBytes) != 0) return false;
  }
  return true;
}

}  // namespace stator::test
