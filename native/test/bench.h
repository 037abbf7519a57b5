#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "fake_llama.h"

namespace stator::test {

/// Collects what the engine says; waits with a deadline, so that a lost answer fails instead of hanging.
class Ear : public EngineListener {
 public:
  void onStep(std::unique_ptr<StepResult> result) override {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(result));
    wake_.notify_all();
  }
  void onReply(std::unique_ptr<Reply> reply) override {
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(reply));
    wake_.notify_all();
  }
  std::unique_ptr<StepResult> step() { return take(steps_); }
  std::unique_ptr<Reply> reply() { return take(replies_); }

 private:
  template <typename T>
  std::unique_ptr<T> take(std::deque<std::unique_ptr<T>>& queue) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, std::chrono::seconds(20), [&] { return !queue.empty(); })) {
      throw std::runtime_error("the engine did not answer");
    }
    auto first = std::move(queue.front());
    queue.pop_front();
    return first;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<StepResult>> steps_;
  std::deque<std::unique_ptr<Reply>> replies_;
};

/// An engine over the fake, and what it says.
struct Bench {
  Ear ear;
  std::shared_ptr<Model> model = openFake();
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Reply> opened;
  int64_t nextStep = 0;

  explicit Bench(int32_t cells = 256) : Bench(EngineOptions{.cells = cells, .slots = 4, .batchTokens = 64}) {}

  explicit Bench(const EngineOptions& options) {
    engine = std::make_unique<Engine>(model, options, ear);
    opened = ear.reply();
  }

  StepPlan plan(int32_t slot, int32_t position, std::vector<int32_t> tokens, uint8_t flags) {
    StepPlan made;
    made.step = nextStep++;
    made.slots = {slot};
    made.positions = {position};
    made.counts = {flags & kFlagChained ? 1 : static_cast<int32_t>(tokens.size())};
    made.flags = {flags};
    made.tokens = std::move(tokens);
    return made;
  }

  std::unique_ptr<StepResult> finish() {
    auto result = ear.step();
    engine->acknowledge(*result);
    return result;
  }

  std::unique_ptr<StepResult> run(StepPlan made) {
    engine->submitStep(std::move(made));
    return finish();
  }
};

}  // namespace stator::test
