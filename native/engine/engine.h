#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "engine/embedder.h"
#include "engine/failure.h"
#include "engine/kv_layout.h"
#include "engine/model.h"
#include "engine/slot.h"
#include "engine/staging.h"
#include "engine/step.h"

namespace stator {

/// How an engine's context is opened; fields as in `ContextOptions` of lib/native/context.ts.
struct EngineOptions {
  /// Of all slots together, or of each one with `streams`.
  int32_t cells = 0;
  int32_t slots = 0;
  int32_t batchTokens = 0;
  int32_t threads = 1;
  int32_t batchThreads = 1;
  int32_t keyType = 1;
  int32_t valueType = 1;
  bool flashAttention = true;
  /// Rows of one step that give logits; at least one per sequence.
  int32_t outputs = 0;
  bool streams = false;
  bool pairRows = false;
  bool hostMemory = false;
};

/// The answer to a request that is not a step.
struct Reply {
  uint64_t request = 0;
  std::optional<Failure> failure;
  /// Of the blocks that were copied out.
  std::vector<uint64_t> checksums;
  /// Blocks that were taken.
  std::optional<size_t> taken;
  /// On the engine thread, of blocks that were moved.
  double durationUs = 0;
  std::vector<std::vector<float>> vectors;
};

/// Hears from the engine thread; must hand over to its own thread and return at once.
class EngineListener {
 public:
  virtual ~EngineListener() = default;
  virtual void onStep(std::unique_ptr<StepResult> result) = 0;
  virtual void onReply(std::unique_ptr<Reply> reply) = 0;
};

/// One context and the thread that owns it. Calls come from one other thread, are checked there and run in order.
/// The first reply, to request 0, says that the context is open or why it is not.
class Engine {
 public:
  Engine(std::shared_ptr<Model> model, const EngineOptions& options, EngineListener& listener);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Valid once request 0 was answered without a failure.
  const Limits& limits() const { return limits_; }
  const KvLayout& layout() const { return layout_; }
  int32_t embedTokens() const { return embedTokens_; }

  void openSequence(int32_t slot, Sampling sampling);
  void closeSequence(int32_t slot);
  /// Throws INVALID_ARGUMENT when two steps are under way or the plan breaks a rule.
  void submitStep(StepPlan plan);
  /// To be called when a result was handed to the submitter.
  void acknowledge(const StepResult& result);
  void abortStep(int64_t step);
  /// Copies the positions from p0 on into blocks of equal size, in the canonical form, and tells their checksums. Borrows
  /// them until it is answered or stopped.
  void exportBlocks(uint64_t request, int32_t slot, int32_t p0, std::vector<std::span<uint8_t>> blocks);
  /// Takes blocks of equal size, those before the first whose checksum is another one; without checksums all of them.
  /// Borrows them until it is answered or stopped.
  void importBlocks(uint64_t request, int32_t slot, int32_t p0, std::vector<std::span<const uint8_t>> blocks,
                    std::vector<uint64_t> checksums);
  /// From now on the bytes of blocks pass through this memory as far as they fit; empty: through the engine's own again.
  /// Borrows it until another one was taken in its place, which is answered, or the engine is stopped.
  void stage(uint64_t request, std::span<uint8_t> memory);
  /// Bytes of memory that are enough for blocks of so many tokens, so many of which are moved by one call.
  size_t stagingBytes(size_t tokens, size_t blocks) const;
  void embed(uint64_t request, EmbedJob job);
  /// Aborts the running step, forgets what waits and joins the thread. No listener call happens after it returns.
  void stop();

 private:
  struct OpenSlot {
    int32_t slot;
    Sampling sampling;
  };
  struct CloseSlot {
    int32_t slot;
  };
  struct Export {
    uint64_t request;
    int32_t slot, p0;
    std::vector<std::span<uint8_t>> blocks;
  };
  struct Import {
    uint64_t request;
    int32_t slot, p0;
    std::vector<std::span<const uint8_t>> blocks;
    std::vector<uint64_t> checksums;
  };
  struct Stage {
    uint64_t request;
    std::span<uint8_t> memory;
  };
  struct Embed {
    uint64_t request;
    EmbedJob job;
  };
  /// A row of the batch that says how likely the token after it is.
  struct ScoreRow {
    size_t entry;
    int32_t row, target;
  };
  using Command = std::variant<OpenSlot, CloseSlot, StepPlan, Export, Import, Stage, Embed>;
  /// What is left to compute of one entry of a step.
  struct Part {
    size_t entry;
    int32_t slot, position, count;
    /// Ids of the tokens that are left; null for a chained entry, whose one token is `chained`.
    const int32_t* tokens;
    int32_t chained;
    bool sample;
    /// What each of the tokens that are left is scored for, -1 for nothing; null where nothing is.
    const int32_t* targets;
  };
  /// A row of the batch whose logits an entry draws from.
  struct Output {
    size_t entry;
    int32_t row;
  };

  void run();
  void openContext();
  void discover();
  bool next(Command& command);
  void post(Command command);
  void execute(Command& command);

  void step(StepPlan& plan);
  bool begin(int64_t step);
  void runOps(const StepPlan& plan, StepResult& result);
  std::string runCopy(const int32_t* op);
  void gather(const StepPlan& plan, StepResult& result);
  std::string refuse(const StepPlan& plan, size_t entry) const;
  void compute(const StepPlan& plan, StepResult& result);
  void computeStreams(const StepPlan& plan, StepResult& result);
  size_t addRun(std::span<Part*> parts);
  void addRows(Part& part, int32_t count);
  void pairRows();
  void addCompanion();
  bool applyAdapter(const StepPlan& plan, StepResult& result);
  bool decode(StepResult& result);
  void sample(const StepPlan& plan, StepResult& result);
  void score(const StepPlan& plan, StepResult& result);
  void tell(const StepPlan& plan, StepResult& result);
  void record(size_t entry, const Draw& drawn, StepResult& result);
  bool putRows(int32_t slot, int32_t p0, int32_t p1);
  void forget(int32_t slot, int32_t p0, int32_t p1);
  bool rowsAgree() const;
  void markFailed(size_t entry, const std::string& message, StepResult& result);

  int32_t checkBlocks(int32_t p0, size_t count, size_t bytes) const;
  void exportNow(const Export& command, Reply& reply);
  void exportOne(int32_t slot, int32_t p0, std::span<uint8_t> out);
  size_t importNow(const Import& command);
  void importOne(int32_t slot, int32_t p0, std::span<const uint8_t> bytes);
  template <typename Work>
  void answer(uint64_t request, Work work);

  const std::shared_ptr<Model> model_;
  const EngineOptions options_;
  EngineListener& listener_;
  const stator_llama_api& api_;
  Limits limits_;
  KvLayout layout_;
  int32_t embedTokens_ = 0;

  // Owned by the engine thread.
  stator_context* context_ = nullptr;
  int32_t scratchSequence_ = 0;
  /// The slot that has a row nobody reads in the batch, or -1; and that row's position.
  int32_t companion_ = -1;
  int32_t companionStart_ = 0;
  std::vector<Slot> slots_;
  std::vector<bool> spoiled_;
  std::shared_ptr<Adapter> adapter_;
  std::unique_ptr<Embedder> embedder_;
  DrawScratch scratch_;
  Staging staging_;
  /// What was taken of it last.
  std::span<uint8_t> blob_;
  std::vector<Part> parts_;
  std::vector<int32_t> tokens_, positions_, sequences_;
  std::vector<int8_t> outputs_;
  std::vector<Output> drawing_;
  std::vector<ScoreRow> scoring_;
  std::vector<std::pair<size_t, Draw>> drawn_;
  uint64_t failures_ = 0;

  // Owned by the calling thread.
  int64_t lastStep_ = -1;
  int stepsUnderWay_ = 0;
  uint64_t failuresSeen_ = 0;

  // Shared.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Command> queue_;
  std::set<int64_t> abortWanted_;
  int64_t running_ = -1;
  int64_t started_ = -1;
  bool quit_ = false;
  std::atomic<bool> abortFlag_{false};
  std::thread thread_;
};

}  // namespace stator
