#include "binding/context.h"

#include <algorithm>
#include <utility>

#include "binding/addon_data.h"
#include "binding/context_values.h"

namespace stator::binding {
namespace {

constexpr uint64_t kOpenRequest = 0;

/// Memory of arrays that a caller lends.
struct Lent {
  std::vector<View<uint8_t>> views;
  /// Keeps the arrays, whatever the caller does with its list of them.
  Napi::Array arrays;
};

Lent lend(const Napi::Value& value, const char* name) {
  require(value.IsArray(), std::string(name) + " must be an array.");
  const auto list = value.As<Napi::Array>();
  Lent lent{{}, Napi::Array::New(value.Env(), list.Length())};
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value each = list[i];
    lent.views.push_back(viewBytes(each, name));
    lent.arrays[i] = each;
  }
  return lent;
}

/// What became of blocks that were moved.
Napi::Object makeMoved(Napi::Env env, const char* name, const Napi::Value& value, double durationUs) {
  auto moved = Napi::Object::New(env);
  moved.Set(name, value);
  moved.Set("durationUs", durationUs);
  return moved;
}

}  // namespace

ContextState::ContextState(Napi::Env env, std::shared_ptr<ModelState> model, const Napi::Function& onStep)
    : env_(env), reactor_(dataOf(env).reactor), model_(std::move(model)), onStep_(Napi::Persistent(onStep)) {
  reactor_.enlist(this);
}

ContextState::~ContextState() {
  engine_ = nullptr;
  reactor_.dismiss(this);
}

Napi::Value ContextState::start(const EngineOptions& options) {
  const auto deferred = Napi::Promise::Deferred::New(env_);
  pending_.emplace(kOpenRequest, Pending{deferred, {}});
  begin();
  engine_ = std::make_unique<Engine>(model_->model, options, *this);
  return deferred.Promise();
}

Engine& ContextState::engine() {
  if (closed_) throw Failure(Code::closed, "The context was closed.");
  return *engine_;
}

std::shared_ptr<Adapter> ContextState::adapter(int64_t id) const {
  if (id < 0) return nullptr;
  const auto found = model_->adapters.find(id);
  require(found != model_->adapters.end(), "There is no adapter " + std::to_string(id) + ".");
  return found->second;
}

template <typename Send>
Napi::Value ContextState::request(Send send, const Napi::Value& borrowed) {
  const uint64_t id = nextRequest_++;
  Pending pending{Napi::Promise::Deferred::New(env_), {}};
  if (borrowed.IsObject()) pending.borrowed = Napi::Persistent(borrowed.As<Napi::Object>());
  const auto deferred = pending.deferred;
  send(engine(), id);
  pending_.emplace(id, std::move(pending));
  begin();
  return deferred.Promise();
}

void ContextState::submit(StepPlan plan) {
  engine().submitStep(std::move(plan));
  stepsUnderWay_++;
  begin();
}

void ContextState::begin() {
  reactor_.hold();
  self_ = shared_from_this();
}

void ContextState::finish() {
  reactor_.release();
  if (pending_.empty() && stepsUnderWay_ == 0) self_ = nullptr;
}

void ContextState::close() {
  if (std::exchange(closed_, true)) return;
  const auto alive = shared_from_this();
  engine_->stop();
  while (!pending_.empty()) {
    const auto deferred = pending_.begin()->second.deferred;
    pending_.erase(pending_.begin());
    deferred.Reject(toError(env_, Code::closed, "The context was closed.").Value());
    finish();
  }
  while (stepsUnderWay_ > 0) {
    stepsUnderWay_--;
    finish();
  }
  engine_ = nullptr;
  staged_.Reset();
  onStep_.Reset();
  reactor_.dismiss(this);
}

void ContextState::stopForExit() {
  closed_ = true;
  if (engine_ != nullptr) engine_->stop();
}

void ContextState::onStep(std::unique_ptr<StepResult> result) {
  reactor_.deliver([self = shared_from_this(), shared = std::shared_ptr<StepResult>(std::move(result))](Napi::Env) {
    self->deliverStep(*shared);
  });
}

void ContextState::deliverStep(const StepResult& result) {
  if (closed_) return;
  engine_->acknowledge(result);
  stepsUnderWay_--;
  finish();
  onStep_.Call({makeResult(env_, result)});
}

void ContextState::onReply(std::unique_ptr<Reply> reply) {
  reactor_.deliver([self = shared_from_this(), shared = std::shared_ptr<Reply>(std::move(reply))](Napi::Env) {
    self->settle(*shared);
  });
}

void ContextState::settle(Reply& reply) {
  const auto found = pending_.find(reply.request);
  if (closed_ || found == pending_.end()) return;
  const auto deferred = found->second.deferred;
  auto borrowed = std::move(found->second.borrowed);
  pending_.erase(found);
  finish();
  if (reply.failure.has_value()) {
    const auto error = toError(env_, reply.failure->code, reply.failure->what());
    if (reply.request == kOpenRequest) close();
    deferred.Reject(error.Value());
  } else if (reply.request == kOpenRequest) {
    deferred.Resolve(ContextWrap::make(env_, shared_from_this()));
  } else if (!reply.vectors.empty()) {
    auto vectors = Napi::Array::New(env_, reply.vectors.size());
    for (uint32_t i = 0; i < reply.vectors.size(); i++) vectors[i] = makeFloats(env_, reply.vectors[i]);
    deferred.Resolve(vectors);
  } else if (!reply.checksums.empty()) {
    auto checksums = Napi::BigUint64Array::New(env_, reply.checksums.size());
    std::copy(reply.checksums.begin(), reply.checksums.end(), checksums.Data());
    deferred.Resolve(makeMoved(env_, "checksums", checksums, reply.durationUs));
  } else if (reply.taken.has_value()) {
    const auto taken = Napi::Number::New(env_, static_cast<double>(*reply.taken));
    deferred.Resolve(makeMoved(env_, "count", taken, reply.durationUs));
  } else {
    // The memory of before is let go: the engine has taken this in its place.
    staged_ = std::move(borrowed);
    deferred.Resolve(env_.Undefined());
  }
}

Napi::Function ContextWrap::define(Napi::Env env) {
  return DefineClass(env, "Context",
                     {InstanceMethod<&ContextWrap::openSequence>("openSequence"),
                      InstanceMethod<&ContextWrap::closeSequence>("closeSequence"),
                      InstanceMethod<&ContextWrap::submitStep>("submitStep"),
                      InstanceMethod<&ContextWrap::abortStep>("abortStep"),
                      InstanceMethod<&ContextWrap::exportBlocks>("exportBlocks"),
                      InstanceMethod<&ContextWrap::importBlocks>("importBlocks"),
                      InstanceMethod<&ContextWrap::stage>("stage"),
                      InstanceMethod<&ContextWrap::stagingBytes>("stagingBytes"),
                      InstanceMethod<&ContextWrap::embed>("embed"), InstanceMethod<&ContextWrap::close>("close")});
}

Napi::Value ContextWrap::open(Napi::Env env, const std::shared_ptr<ModelState>& model, const Napi::Value& options,
                              const Napi::Value& onStep) {
  const auto parsed = readEngineOptions(options);
  return std::make_shared<ContextState>(env, model, readFunction(onStep, "onStep"))->start(parsed);
}

Napi::Object ContextWrap::make(Napi::Env env, std::shared_ptr<ContextState> state) {
  auto object = makeWrapped(env, dataOf(env).context, state);
  const auto& engine = state->engine();
  object.Set("cellTokens", engine.limits().cells);
  object.Set("maxSequences", engine.limits().slots);
  object.Set("maxBatchTokens", engine.limits().batchTokens);
  object.Set("embedTokens", engine.embedTokens());
  object.Set("kvLayout", makeLayout(env, engine.layout()));
  return object;
}

ContextWrap::ContextWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ContextWrap>(info), state_(contentOf<std::shared_ptr<ContextState>>(info)) {}

/// A forgotten context is closed by the collector, but never while something is under way: answers hold the state.
ContextWrap::~ContextWrap() = default;

void ContextWrap::openSequence(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto slot = static_cast<int32_t>(readInteger(info[0], "slot", 0, INT32_MAX));
    state_->engine().openSequence(slot, readSampling(info[1]));
  });
}

void ContextWrap::closeSequence(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    state_->engine().closeSequence(static_cast<int32_t>(readInteger(info[0], "slot", 0, INT32_MAX)));
  });
}

void ContextWrap::submitStep(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    int64_t adapter = -1;
    auto plan = readPlan(info[0], adapter);
    plan.adapter = state_->adapter(adapter);
    state_->submit(std::move(plan));
  });
}

void ContextWrap::abortStep(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->engine().abortStep(readInteger(info[0], "step", 0, int64_t{1} << 53)); });
}

Napi::Value ContextWrap::exportBlocks(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = static_cast<int32_t>(readInteger(info[0], "slot", 0, INT32_MAX));
    const auto p0 = static_cast<int32_t>(readInteger(info[1], "p0", 0, INT32_MAX));
    const auto lent = lend(info[2], "into");
    std::vector<std::span<uint8_t>> blocks;
    // The views are of memory that its owner lends to be written.
    for (const auto& view : lent.views) blocks.emplace_back(const_cast<uint8_t*>(view.data), view.size);
    return state_->request(
        [&](Engine& engine, uint64_t id) { engine.exportBlocks(id, slot, p0, std::move(blocks)); }, lent.arrays);
  });
}

Napi::Value ContextWrap::importBlocks(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto slot = static_cast<int32_t>(readInteger(info[0], "slot", 0, INT32_MAX));
    const auto p0 = static_cast<int32_t>(readInteger(info[1], "p0", 0, INT32_MAX));
    const auto lent = lend(info[2], "blocks");
    std::vector<std::span<const uint8_t>> blocks;
    for (const auto& view : lent.views) blocks.emplace_back(view.data, view.size);
    std::vector<uint64_t> checksums;
    if (given(info[3])) {
      const auto view = viewU64(info[3], "checksums");
      require(view.size == blocks.size(), "There is not one checksum for each block.");
      checksums.assign(view.data, view.data + view.size);
    }
    return state_->request(
        [&](Engine& engine, uint64_t id) {
          engine.importBlocks(id, slot, p0, std::move(blocks), std::move(checksums));
        },
        lent.arrays);
  });
}

Napi::Value ContextWrap::stage(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    std::span<uint8_t> memory;
    if (given(info[0])) {
      const auto view = viewBytes(info[0], "memory");
      // The view is of memory that its owner lends to be written.
      memory = {const_cast<uint8_t*>(view.data), view.size};
    }
    return state_->request([&](Engine& engine, uint64_t id) { engine.stage(id, memory); }, info[0]);
  });
}

Napi::Value ContextWrap::stagingBytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& engine = state_->engine();
    const auto tokens = static_cast<size_t>(readInteger(info[0], "blockTokens", 1, engine.limits().cells));
    const auto blocks = static_cast<size_t>(readInteger(info[1], "blocks", 1, INT32_MAX));
    return Napi::Number::New(info.Env(), static_cast<double>(engine.stagingBytes(tokens, blocks)));
  });
}

Napi::Value ContextWrap::embed(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto job = readEmbedJob(info[0], info[1]);
    return state_->request([&](Engine& engine, uint64_t id) { engine.embed(id, std::move(job)); });
  });
}

void ContextWrap::close(const Napi::CallbackInfo&) { state_->close(); }

}  // namespace stator::binding
