#include "engine/engine.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "core/xxh3.h"

namespace stator {
namespace {

constexpr int kMaxStepsUnderWay = 2;
constexpr int32_t kMaxEmbedTokens = 8192;
/// The library rounds its cell count up to this.
constexpr int32_t kCellUnit = 256;
/// From so many rows of a sequence on the library attends in tiles, whose sums have another order.
constexpr int32_t kTileRows = 64;

double elapsedUs(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since).count();
}

std::string whyNotExportable(const Model& model, bool flashAttention) {
  if (model.info.recurrent || model.info.hybrid) return "The state of this model is not kept per token.";
  if (model.info.extended_cells) return "The positions of this model have several components.";
  if (!flashAttention) return "Without flash attention the value rows are not kept per token.";
  return {};
}

bool readFlag(void* user) { return static_cast<std::atomic<bool>*>(user)->load(std::memory_order_relaxed); }

}  // namespace

Engine::Engine(std::shared_ptr<Model> model, const EngineOptions& options, EngineListener& listener)
    : model_(std::move(model)), options_(options), listener_(listener), api_(model_->api()) {
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() { stop(); }

void Engine::stop() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    abortFlag_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Engine::openSequence(int32_t slot, Sampling sampling) {
  checkSlot(slot, limits_);
  checkSampling(sampling, limits_);
  post(OpenSlot{slot, std::move(sampling)});
}

void Engine::closeSequence(int32_t slot) {
  checkSlot(slot, limits_);
  post(CloseSlot{slot});
}

void Engine::submitStep(StepPlan plan) {
  require(stepsUnderWay_ < kMaxStepsUnderWay, "Two steps are under way already.");
  require(plan.step > lastStep_, "Step " + std::to_string(plan.step) + " does not come after step " +
                                     std::to_string(lastStep_) + ".");
  checkPlan(plan, limits_);
  lastStep_ = plan.step;
  stepsUnderWay_++;
  plan.failuresSeen = failuresSeen_;
  post(std::move(plan));
}

void Engine::acknowledge(const StepResult& result) {
  stepsUnderWay_--;
  failuresSeen_ = std::max(failuresSeen_, result.failures);
}

void Engine::abortStep(int64_t step) {
  const std::lock_guard lock(mutex_);
  if (running_ == step) {
    abortFlag_ = true;
  } else if (step > started_ && step <= lastStep_) {
    abortWanted_.insert(step);
  }
}

/// Checks blocks of so many bytes that begin at p0; returns the tokens of each.
int32_t Engine::checkBlocks(int32_t p0, size_t count, size_t bytes) const {
  require(p0 >= 0, "The first position is negative.");
  if (!layout_.exportable()) throw Failure(Code::unsupported, layout_.reason);
  require(count > 0, "There are no blocks.");
  const size_t row = layout_.tokenBytes();
  require(bytes > 0 && bytes % row == 0, "A block of " + std::to_string(bytes) +
                                             " bytes is not made of tokens of " + std::to_string(row) + " bytes.");
  const auto room = static_cast<size_t>(std::max(0, limits_.cells - p0));
  require(bytes / row <= room / count, "The blocks end beyond the cache.");
  return static_cast<int32_t>(bytes / row);
}

void Engine::exportBlocks(uint64_t request, int32_t slot, int32_t p0, std::vector<std::span<uint8_t>> blocks) {
  checkSlot(slot, limits_);
  checkBlocks(p0, blocks.size(), blocks.empty() ? 0 : blocks[0].size());
  for (const auto& block : blocks) require(block.size() == blocks[0].size(), "Blocks differ in size.");
  post(Export{request, slot, p0, std::move(blocks)});
}

void Engine::importBlocks(uint64_t request, int32_t slot, int32_t p0, std::vector<std::span<const uint8_t>> blocks,
                          std::vector<uint64_t> checksums) {
  checkSlot(slot, limits_);
  checkBlocks(p0, blocks.size(), blocks.empty() ? 0 : blocks[0].size());
  for (const auto& block : blocks) require(block.size() == blocks[0].size(), "Blocks differ in size.");
  require(checksums.empty() || checksums.size() == blocks.size(), "There is not one checksum for each block.");
  post(Import{request, slot, p0, std::move(blocks), std::move(checksums)});
}

void Engine::stage(uint64_t request, std::span<uint8_t> memory) { post(Stage{request, memory}); }

size_t Engine::stagingBytes(size_t tokens, size_t blocks) const {
  // Without streams blocks pass one by one.
  return options_.streams ? blocks * tokens * layout_.tokenBytes() : layout_.blobBytes(tokens);
}

void Engine::embed(uint64_t request, EmbedJob job) {
  require(!job.inputs.empty(), "There is nothing to embed.");
  for (const auto& input : job.inputs) {
    require(!input.empty(), "An input to embed is empty.");
    require(input.size() <= static_cast<size_t>(embedTokens_), "An input of " + std::to_string(input.size()) +
                                                                   " tokens is longer than " +
                                                                   std::to_string(embedTokens_) + ".");
    for (const int32_t token : input) {
      require(token >= 0 && token < limits_.vocab, "An input to embed holds an id beyond the vocabulary.");
    }
  }
  post(Embed{request, std::move(job)});
}

void Engine::post(Command command) {
  {
    const std::lock_guard lock(mutex_);
    if (quit_) throw Failure(Code::closed, "The context was closed.");
    queue_.push_back(std::move(command));
  }
  wake_.notify_one();
}

bool Engine::next(Command& command) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return quit_ || !queue_.empty(); });
  if (quit_) return false;
  command = std::move(queue_.front());
  queue_.pop_front();
  return true;
}

void Engine::run() {
  pthread_setname_np(pthread_self(), "stator-engine");
  auto opened = std::make_unique<Reply>();
  try {
    openContext();
  } catch (const Failure& failure) {
    opened->failure.emplace(failure);
  } catch (const std::exception& error) {
    opened->failure.emplace(Code::internal, error.what());
  }
  const bool open = !opened->failure.has_value();
  listener_.onReply(std::move(opened));
  Command command;
  while (open && next(command)) execute(command);
  slots_.clear();
  embedder_ = nullptr;
  if (context_ != nullptr) api_.context_free(context_);
  context_ = nullptr;
  adapter_ = nullptr;
}

void Engine::openContext() {
  // Without streams the last sequence is our scratch; with them each has one cell to spare, for a companion.
  const auto sequences = static_cast<uint32_t>(options_.slots + (options_.streams ? 0 : 1));
  const int32_t wanted = options_.cells + (options_.streams ? 1 : 0);
  const int32_t cells = (wanted + kCellUnit - 1) / kCellUnit * kCellUnit;
  const stator_context_options options{
      .cells = static_cast<uint32_t>(cells) * (options_.streams ? sequences : 1),
      .sequences = sequences,
      .batch_tokens = std::max(static_cast<uint32_t>(options_.batchTokens), sequences),
      .outputs = std::max({static_cast<uint32_t>(options_.outputs), sequences, 2u}),
      .threads = options_.threads,
      .batch_threads = options_.batchThreads,
      .key_type = options_.keyType,
      .value_type = options_.valueType,
      .flash_attention = options_.flashAttention,
      .streams = options_.streams,
      .pooling = STATOR_POOLING_OFF,
      .abort = readFlag,
      .abort_user = &abortFlag_};
  const LibraryLog::Capture errors;
  char why[256] = "";
  context_ = api_.context_open(model_->handle, &options, {why, sizeof why});
  if (context_ == nullptr) {
    throw Failure(Code::outOfMemory,
                  "Cannot open a context: " + errors.text(why[0] != 0 ? why : "no reason given") + ".");
  }
  scratchSequence_ = options_.streams ? 0 : options_.slots;
  slots_ = std::vector<Slot>(static_cast<size_t>(options_.slots));
  spoiled_.assign(static_cast<size_t>(options_.slots), false);
  const bool partial = !model_->info.recurrent && !model_->info.hybrid;
  const auto usable = static_cast<int32_t>(api_.context_cells(context_)) - (options_.streams ? 1 : 0);
  limits_ = {options_.slots, usable, options_.batchTokens, model_->vocab.size, static_cast<int32_t>(options.outputs),
             partial};
  embedTokens_ = std::min({limits_.cells, kMaxEmbedTokens, std::max(model_->info.train_context_tokens, 1)});
  discover();
}

/// Decodes into the scratch sequence (with streams: the first): the state of one token there shows the layout, and the first real step finds warm
/// pages and compiled kernels. Two tokens, because Mesa's software Vulkan 22.3 crashes when the very first batch has one.
void Engine::discover() {
  layout_.reason = whyNotExportable(*model_, options_.flashAttention);
  if (!api_.context_has_memory(context_)) layout_.reason = "This model keeps no cache.";
  if (!layout_.exportable()) return;
  const int32_t token = std::max(0, model_->vocab.bos);
  const int32_t tokens[] = {token, token};
  const int32_t positions[] = {0, 1};
  const int32_t sequences[] = {scratchSequence_, scratchSequence_};
  const int8_t outputs[] = {0, 1};
  const stator_batch batch{2, tokens, positions, sequences, outputs};
  const LibraryLog::Capture errors;
  if (api_.decode(context_, &batch) != STATOR_DECODE_OK) {
    throw Failure(Code::internal, "The model cannot compute: " + errors.text("no reason given") + ".");
  }
  api_.sequence_remove(context_, scratchSequence_, 1, -1);
  blob_ = staging_.take(api_.state_size(context_, scratchSequence_));
  const size_t size = api_.state_get(context_, scratchSequence_, blob_.data(), blob_.size());
  layout_ = discoverLayout({blob_.data(), size}, options_.streams ? static_cast<uint32_t>(options_.slots) : 1);
  if (options_.streams && layout_.exportable() && !rowsAgree()) {
    layout_.reason = "This model's cache does not give out its rows by position.";
  }
  if (options_.streams && options_.hostMemory) {
    api_.rows_forget(context_, 0, 0, static_cast<size_t>(api_.context_cells(context_)) * limits_.slots);
  }
  api_.sequence_remove(context_, scratchSequence_, -1, -1);
}

/// Whether the rows of the scratch sequence's one token are those of the library form in `blob_`.
bool Engine::rowsAgree() const {
  std::vector<uint8_t> rows(layout_.tokenBytes());
  std::vector<uint8_t> canonical(rows.size());
  std::vector<uint8_t> expected(rows.size());
  if (!api_.rows_get(context_, scratchSequence_, 0, 1, rows.data(), rows.size())) return false;
  const std::span<uint8_t> blocks[] = {canonical};
  rowsToBlocks(layout_, rows, blocks);
  return toCanonical(layout_, blob_, 0, 1, expected) && canonical == expected;
}

void Engine::execute(Command& command) {
  if (auto* open = std::get_if<OpenSlot>(&command)) {
    slots_[static_cast<size_t>(open->slot)].open(model_, std::move(open->sampling));
  } else if (const auto* close = std::get_if<CloseSlot>(&command)) {
    slots_[static_cast<size_t>(close->slot)].close();
  } else if (auto* plan = std::get_if<StepPlan>(&command)) {
    step(*plan);
  } else if (const auto* out = std::get_if<Export>(&command)) {
    answer(out->request, [&](Reply& reply) { exportNow(*out, reply); });
  } else if (const auto* in = std::get_if<Import>(&command)) {
    answer(in->request, [&](Reply& reply) { reply.taken = importNow(*in); });
  } else if (const auto* stage = std::get_if<Stage>(&command)) {
    answer(stage->request, [&](Reply&) { staging_.lend(stage->memory); });
  } else if (auto* embed = std::get_if<Embed>(&command)) {
    answer(embed->request, [&](Reply& reply) {
      if (embedder_ == nullptr) {
        embedder_ = std::make_unique<Embedder>(model_, embedTokens_, options_.batchThreads, readFlag, &abortFlag_);
      }
      embedder_->advance(embed->job);
      if (embed->job.done.size() == embed->job.inputs.size()) {
        reply.vectors = std::move(embed->job.done);
      } else {
        // The next batch queues behind the steps that came meanwhile.
        reply.request = 0;
        post(std::move(*embed));
      }
    });
  }
}

template <typename Work>
void Engine::answer(uint64_t request, Work work) {
  auto reply = std::make_unique<Reply>();
  reply->request = request;
  const auto started = std::chrono::steady_clock::now();
  try {
    work(*reply);
    reply->durationUs = elapsedUs(started);
  } catch (const Failure& failure) {
    reply->request = request;
    reply->failure.emplace(failure);
  } catch (const std::exception& error) {
    reply->request = request;
    reply->failure.emplace(Code::internal, error.what());
  }
  if (reply->request != 0) listener_.onReply(std::move(reply));
}

bool Engine::begin(int64_t step) {
  const std::lock_guard lock(mutex_);
  running_ = started_ = step;
  if (!quit_) abortFlag_ = abortWanted_.erase(step) > 0;
  return !abortFlag_;
}

void Engine::step(StepPlan& plan) {
  const auto since = std::chrono::steady_clock::now();
  const size_t entries = plan.slots.size();
  auto result = std::make_unique<StepResult>();
  result->step = plan.step;
  result->slots = plan.slots;
  result->tokens.assign(entries, -1);
  result->ends.assign(entries, 0);
  if (plan.failuresSeen < failures_) {
    result->status = StepStatus::discarded;
  } else {
    const bool wanted = begin(plan.step);
    runOps(plan, *result);
    gather(plan, *result);
    if (wanted) {
      compute(plan, *result);
    } else {
      result->status = StepStatus::aborted;
    }
    if (result->status != StepStatus::ok) failures_++;
    const std::lock_guard lock(mutex_);
    running_ = -1;
    if (!quit_) abortFlag_ = false;
  }
  result->failures = failures_;
  result->durationUs = elapsedUs(since);
  listener_.onStep(std::move(result));
}

void Engine::markFailed(size_t entry, const std::string& message, StepResult& result) {
  const int32_t slot = result.slots[entry];
  slots_[static_cast<size_t>(slot)].endNow();
  result.ends[entry] = static_cast<uint8_t>(End::error);
  result.errors.push_back({slot, message});
}

std::string Engine::runCopy(const int32_t* op) {
  const int32_t from = op[1], to = op[2], p0 = op[3], p1 = op[4];
  if (api_.sequence_first(context_, from) > p0 || api_.sequence_last(context_, from) < p1 - 1) {
    return "Slot " + std::to_string(from) + " does not hold all positions that were to be copied.";
  }
  // Shared cells take the place of what the slot had there: two cells at one position would both be attended to.
  if (api_.sequence_last(context_, to) >= p0 && !api_.sequence_remove(context_, to, p0, options_.streams ? -1 : p1)) {
    return "Positions of slot " + std::to_string(to) + " cannot be removed in parts.";
  }
  if (!options_.streams) {
    api_.sequence_copy(context_, from, to, p0, p1);
    return {};
  }
  blob_ = staging_.take(static_cast<size_t>(p1 - p0) * layout_.tokenBytes());
  if (!layout_.exportable() || !api_.rows_get(context_, from, p0, p1, blob_.data(), blob_.size()) || !putRows(to, p0, p1)) {
    return "The positions of slot " + std::to_string(from) + " cannot be copied.";
  }
  return {};
}

/// Puts the rows in `blob_` behind the first p0 positions of a slot, which must be all that it has.
bool Engine::putRows(int32_t slot, int32_t p0, int32_t p1) {
  if (api_.sequence_last(context_, slot) != p0 - 1) return false;
  const auto head = libraryHead(layout_, p1);
  return api_.rows_set(context_, slot, p0, p1, head.data(), head.size(), blob_.data(), blob_.size());
}

/// Gives the memory of positions that are about to be removed back to the system.
void Engine::forget(int32_t slot, int32_t p0, int32_t p1) {
  const int32_t end = std::min(p1, api_.sequence_last(context_, slot) + 1);
  if (!options_.streams || !options_.hostMemory || p0 >= end) return;
  api_.rows_forget(context_, slot, p0, static_cast<size_t>(end - p0));
}

void Engine::runOps(const StepPlan& plan, StepResult& result) {
  std::fill(spoiled_.begin(), spoiled_.end(), false);
  if (!plan.ops.empty() && !api_.context_has_memory(context_)) {
    result.errors.push_back({-1, layout_.reason});
    return;
  }
  for (size_t i = 0; i < plan.ops.size(); i += kOpWidth) {
    const int32_t* op = plan.ops.data() + i;
    const int32_t target = op[0] == kOpCopy ? op[2] : op[1];
    std::string failure;
    if (op[0] == kOpRemove) forget(op[1], op[2], op[3] < 0 ? limits_.cells : op[3]);
    if (op[0] == kOpCopy) {
      failure = runCopy(op);
    } else if (!api_.sequence_remove(context_, op[1], op[2], op[3])) {
      failure = "Positions of slot " + std::to_string(op[1]) + " cannot be removed in parts.";
    }
    if (failure.empty()) continue;
    spoiled_[static_cast<size_t>(target)] = true;
    result.errors.push_back({target, failure});
  }
}

/// One sentence when an entry cannot be part of the batch, for a reason that only the engine thread can see.
std::string Engine::refuse(const StepPlan& plan, size_t entry) const {
  const int32_t id = plan.slots[entry];
  const auto& slot = slots_[static_cast<size_t>(id)];
  const std::string name = "Slot " + std::to_string(id);
  if (spoiled_[static_cast<size_t>(id)]) return name + " was spoiled by an op of this step.";
  if (slot.isOpen() && !slot.failure().empty()) return slot.failure();
  if ((plan.flags[entry] & (kFlagSample | kFlagScore)) && !slot.isOpen()) return name + " is not open.";
  if ((plan.flags[entry] & kFlagChained) && slot.lastToken() < 0) return name + " has drawn no token yet.";
  if (!api_.context_has_memory(context_)) return layout_.reason;
  const int32_t expected = api_.sequence_last(context_, id) + 1;
  if (plan.positions[entry] == expected) return {};
  return name + " continues at position " + std::to_string(expected) + ", not " +
         std::to_string(plan.positions[entry]) + ".";
}

void Engine::gather(const StepPlan& plan, StepResult& result) {
  parts_.clear();
  scoring_.clear();
  drawn_.clear();
  size_t supplied = 0;
  size_t scored = 0;
  for (size_t entry = 0; entry < plan.slots.size(); entry++) {
    const int32_t id = plan.slots[entry];
    const auto& slot = slots_[static_cast<size_t>(id)];
    const bool chained = (plan.flags[entry] & kFlagChained) != 0;
    const int32_t* from = chained ? nullptr : plan.tokens.data() + supplied;
    supplied += chained ? 0 : static_cast<size_t>(plan.counts[entry]);
    const bool scores = (plan.flags[entry] & kFlagScore) != 0;
    const int32_t* targets = scores ? plan.targets.data() + scored : nullptr;
    scored += scores ? static_cast<size_t>(plan.counts[entry]) : 0;
    if (slot.isOpen() && slot.hasEnded()) {
      result.ends[entry] = static_cast<uint8_t>(End::skipped);
      continue;
    }
    if (const auto reason = refuse(plan, entry); !reason.empty()) {
      markFailed(entry, reason, result);
      continue;
    }
    const bool draws = (plan.flags[entry] & kFlagSample) != 0;
    parts_.push_back(
        {entry, id, plan.positions[entry], plan.counts[entry], from, slot.lastToken(), draws, targets});
  }
}

/// Moves the next tokens of a part into the batch.
void Engine::addRows(Part& part, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    tokens_.push_back(part.tokens == nullptr ? part.chained : part.tokens[i]);
    positions_.push_back(part.position + i);
    sequences_.push_back(part.slot);
    const int32_t target = part.targets == nullptr ? -1 : part.targets[i];
    if (target >= 0) scoring_.push_back({part.entry, static_cast<int32_t>(outputs_.size()), target});
    outputs_.push_back(target >= 0);
  }
  part.position += count;
  part.count -= count;
  if (part.tokens != nullptr) part.tokens += count;
  if (part.targets != nullptr) part.targets += count;
  if (part.count > 0 || !part.sample) return;
  outputs_.back() = 1;
  drawing_.push_back({part.entry, static_cast<int32_t>(tokens_.size()) - 1});
}

void Engine::compute(const StepPlan& plan, StepResult& result) {
  if (parts_.empty() || !applyAdapter(plan, result)) return;
  if (options_.streams) {
    computeStreams(plan, result);
  } else {
    for (auto& part : parts_) addRows(part, part.count);
    if (decode(result)) sample(plan, result);
  }
  if (result.status == StepStatus::ok) tell(plan, result);
}

/// Entries of fewer than `kTileRows` tokens go side by side: as many tokens of each as the shortest has left, of slots in a
/// row, which is what the library computes at once. Each longer one goes alone, so that nothing cuts it.
void Engine::computeStreams(const StepPlan& plan, StepResult& result) {
  std::vector<Part*> small;
  for (auto& part : parts_) {
    if (part.count < kTileRows) small.push_back(&part);
  }
  std::sort(small.begin(), small.end(), [](const Part* left, const Part* right) { return left->slot < right->slot; });
  while (!small.empty()) {
    for (size_t from = 0; from < small.size();) {
      from += addRun(std::span(small).subspan(from));
      if (!decode(result)) return;
      sample(plan, result);
    }
    std::erase_if(small, [](const Part* part) { return part->count == 0; });
  }
  for (auto& part : parts_) {
    if (part.count == 0) continue;
    addRows(part, part.count);
    if (!decode(result)) return;
    sample(plan, result);
  }
}

/// Fills the batch with the parts in front whose slots follow each other. Returns how many those are.
size_t Engine::addRun(std::span<Part*> parts) {
  size_t length = 1;
  int32_t count = parts[0]->count;
  while (length < parts.size() && parts[length]->slot == parts[length - 1]->slot + 1) {
    count = std::min(count, parts[length++]->count);
  }
  for (Part* part : parts.first(length)) addRows(*part, count);
  return length;
}

/// Matrix products of one row and of several take their sums in another order: so no row is alone, neither in the batch nor
/// among those that are read. A row that is added belongs to a slot beside this one and is removed after the batch.
void Engine::pairRows() {
  if (tokens_.size() == 1) addCompanion();
  if (tokens_.size() < 2 || std::count(outputs_.begin(), outputs_.end(), 1) != 1) return;
  const auto read = static_cast<size_t>(std::find(outputs_.begin(), outputs_.end(), 1) - outputs_.begin());
  outputs_[read == 0 ? 1 : read - 1] = 1;
}

void Engine::addCompanion() {
  const int32_t slot = sequences_[0];
  const bool isLast = slot + 1 == limits_.slots;
  if (isLast && slot == 0) return;
  companion_ = isLast ? slot - 1 : slot + 1;
  companionStart_ = api_.sequence_last(context_, companion_) + 1;
  // The library takes rows of slots that follow each other, and in this order, at once.
  const ptrdiff_t at = isLast ? 0 : 1;
  tokens_.insert(tokens_.begin() + at, 0);
  positions_.insert(positions_.begin() + at, companionStart_);
  sequences_.insert(sequences_.begin() + at, companion_);
  outputs_.insert(outputs_.begin() + at, 0);
  if (isLast && !drawing_.empty()) drawing_[0].row = 1;
  if (isLast && !scoring_.empty()) scoring_[0].row = 1;
}

bool Engine::applyAdapter(const StepPlan& plan, StepResult& result) {
  if (plan.adapter == adapter_) return true;
  const LibraryLog::Capture errors;
  if (api_.context_adapter(context_, plan.adapter == nullptr ? nullptr : plan.adapter->handle)) {
    adapter_ = plan.adapter;
    return true;
  }
  result.status = StepStatus::error;
  result.errors.push_back({-1, "The adapter cannot be applied: " + errors.text("no reason given") + "."});
  return false;
}

/// Computes the batch and empties it. False unless all of it was computed; the status says why.
bool Engine::decode(StepResult& result) {
  if (options_.pairRows) pairRows();
  const LibraryLog::Capture errors;
  const stator_batch batch{static_cast<int32_t>(tokens_.size()), tokens_.data(), positions_.data(), sequences_.data(),
                           outputs_.data()};
  const auto status = api_.decode(context_, &batch);
  if (companion_ >= 0) api_.sequence_remove(context_, companion_, companionStart_, -1);
  companion_ = -1;
  tokens_.clear();
  positions_.clear();
  sequences_.clear();
  outputs_.clear();
  if (status == STATOR_DECODE_OK) return true;
  if (status == STATOR_DECODE_ABORTED) {
    result.status = StepStatus::aborted;
  } else if (status == STATOR_DECODE_NO_SPACE && !options_.streams) {
    result.status = StepStatus::noSpace;
  } else {
    result.status = StepStatus::error;
    result.errors.push_back({-1, "The library failed to compute: " + errors.text("no reason given") + "."});
  }
  drawing_.clear();
  scoring_.clear();
  return false;
}

/// Reads how likely the tokens of prompts were, in the batch that was computed last.
void Engine::score(const StepPlan& plan, StepResult& result) {
  for (const auto& [entry, row, target] : scoring_) {
    if (result.ends[entry] != 0) continue;
    const float* logits = api_.logits(context_, row);
    if (logits == nullptr) {
      markFailed(entry, "The library gave no logits.", result);
      continue;
    }
    const auto& slot = slots_[static_cast<size_t>(plan.slots[entry])];
    auto scored = slot.score(logits, target, scratch_);
    // Tokens that cannot happen are no candidates: the list is as long as was asked for all the same.
    const auto wanted = static_cast<size_t>(std::max(0, slot.sampling().logprobs));
    scored.top.resize(wanted, {0, -std::numeric_limits<float>::infinity()});
    result.scoreEntries.push_back(static_cast<int32_t>(entry));
    result.scores.push_back(scored.logprob);
    for (const auto& candidate : scored.top) {
      result.scoreTopIds.push_back(candidate.id);
      result.scoreTopValues.push_back(candidate.logit);
    }
  }
  scoring_.clear();
}

/// Draws from the logits of the batch that was computed last.
void Engine::sample(const StepPlan& plan, StepResult& result) {
  score(plan, result);
  for (const auto& [entry, row] : drawing_) {
    if (result.ends[entry] != 0) continue;
    const float* logits = api_.logits(context_, row);
    if (logits == nullptr) {
      markFailed(entry, "The library gave no logits.", result);
      continue;
    }
    drawn_.emplace_back(entry, slots_[static_cast<size_t>(plan.slots[entry])].draw(logits, scratch_));
  }
  drawing_.clear();
}

/// Writes down what was drawn, in the order of the entries.
void Engine::tell(const StepPlan& plan, StepResult& result) {
  std::sort(drawn_.begin(), drawn_.end(), [](const auto& left, const auto& right) { return left.first < right.first; });
  for (const auto& [entry, drawn] : drawn_) {
    const int32_t slot = plan.slots[entry];
    result.tokens[entry] = drawn.token;
    result.ends[entry] = static_cast<uint8_t>(drawn.end);
    if (!drawn.error.empty()) result.errors.push_back({slot, drawn.error});
    const bool wanted = slots_[static_cast<size_t>(slot)].sampling().logprobs >= 0;
    if (wanted && drawn.token >= 0) record(entry, drawn, result);
  }
}

void Engine::record(size_t entry, const Draw& drawn, StepResult& result) {
  if (result.logprobs.empty()) {
    result.logprobs.assign(result.slots.size(), std::numeric_limits<float>::quiet_NaN());
    result.ranks.assign(result.slots.size(), 0);
  }
  result.logprobs[entry] = drawn.logprob;
  result.ranks[entry] = drawn.rank;
  for (const auto& candidate : drawn.top) {
    result.topEntries.push_back(static_cast<int32_t>(entry));
    result.topIds.push_back(candidate.id);
    result.topValues.push_back(candidate.logit);
  }
}

void Engine::exportNow(const Export& command, Reply& reply) {
  const auto& [request, slot, p0, blocks] = command;
  const auto tokens = static_cast<int32_t>(blocks[0].size() / layout_.tokenBytes());
  const auto end = p0 + tokens * static_cast<int32_t>(blocks.size());
  require(api_.sequence_first(context_, slot) <= p0 && api_.sequence_last(context_, slot) >= end - 1,
          "Slot " + std::to_string(slot) + " does not hold positions " + std::to_string(p0) + ".." +
              std::to_string(end - 1) + ".");
  if (options_.streams) {
    blob_ = staging_.take(blocks.size() * blocks[0].size());
    if (!api_.rows_get(context_, slot, p0, end, blob_.data(), blob_.size())) {
      throw Failure(Code::unsupported, "The rows of slot " + std::to_string(slot) + " have another shape.");
    }
    rowsToBlocks(layout_, blob_, blocks);
  }
  for (size_t i = 0; i < blocks.size(); i++) {
    if (!options_.streams) exportOne(slot, p0 + static_cast<int32_t>(i) * tokens, blocks[i]);
    reply.checksums.push_back(xxh3(blocks[i].data(), blocks[i].size(), kChecksumSeed));
  }
}

void Engine::exportOne(int32_t slot, int32_t p0, std::span<uint8_t> out) {
  const auto tokens = out.size() / layout_.tokenBytes();
  const auto p1 = p0 + static_cast<int32_t>(tokens);
  api_.sequence_copy(context_, slot, scratchSequence_, p0, p1);
  blob_ = staging_.take(layout_.blobBytes(tokens));
  const bool fits = api_.state_size(context_, scratchSequence_) == blob_.size() &&
                    api_.state_get(context_, scratchSequence_, blob_.data(), blob_.size()) == blob_.size();
  api_.sequence_remove(context_, scratchSequence_, -1, -1);
  if (!fits || !toCanonical(layout_, blob_, p0, p1, out)) {
    throw Failure(Code::unsupported, "The library's state of slot " + std::to_string(slot) + " has another shape.");
  }
}

size_t Engine::importNow(const Import& command) {
  const auto& [request, slot, p0, blocks, checksums] = command;
  size_t good = blocks.size();
  for (size_t i = 0; i < checksums.size() && i < good; i++) {
    if (xxh3(blocks[i].data(), blocks[i].size(), kChecksumSeed) != checksums[i]) good = i;
  }
  if (good == 0) return 0;
  const auto tokens = static_cast<int32_t>(blocks[0].size() / layout_.tokenBytes());
  require(api_.sequence_last(context_, slot) < p0,
          "Slot " + std::to_string(slot) + " already reaches position " + std::to_string(p0) + ".");
  if (!options_.streams) {
    for (size_t i = 0; i < good; i++) importOne(slot, p0 + static_cast<int32_t>(i) * tokens, blocks[i]);
    return good;
  }
  const LibraryLog::Capture errors;
  blob_ = staging_.take(good * blocks[0].size());
  blocksToRows(layout_, std::span(blocks).first(good), blob_);
  if (putRows(slot, p0, p0 + static_cast<int32_t>(good) * tokens)) return good;
  throw Failure(Code::noSpace, "The blocks were not taken: " + errors.text("they do not follow what is there") + ".");
}

void Engine::importOne(int32_t slot, int32_t p0, std::span<const uint8_t> bytes) {
  const auto tokens = bytes.size() / layout_.tokenBytes();
  const auto p1 = p0 + static_cast<int32_t>(tokens);
  const LibraryLog::Capture errors;
  blob_ = staging_.take(layout_.blobBytes(tokens));
  toLibrary(layout_, bytes, p0, blob_);
  if (api_.state_set(context_, scratchSequence_, blob_.data(), blob_.size()) != blob_.size()) {
    api_.sequence_remove(context_, scratchSequence_, -1, -1);
    throw Failure(Code::noSpace, "The block was not taken: " + errors.text("no free cells") + ".");
  }
  api_.sequence_copy(context_, scratchSequence_, slot, p0, p1);
  api_.sequence_remove(context_, scratchSequence_, -1, -1);
}

}  // namespace stator
