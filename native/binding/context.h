#pragma once
#include <napi.h>

#include <map>
#include <memory>
#include <string>
#include <variant>

#include "binding/model.h"
#include "binding/reactor.h"
#include "engine/engine.h"

namespace stator::binding {

/// The event loop's side of one engine: pending promises, the step callback and the hold on the process. Answers of the
/// engine thread hold it, so it outlives the wrapping object while something is under way.
class ContextState : public EngineListener, public Stoppable, public std::enable_shared_from_this<ContextState> {
 public:
  ContextState(Napi::Env env, std::shared_ptr<ModelState> model, const Napi::Function& onStep);
  ~ContextState() override;

  /// Starts the engine; the promise resolves with the wrapping object.
  Napi::Value start(const EngineOptions& options);
  Engine& engine();
  std::shared_ptr<Adapter> adapter(int64_t id) const;

  /// Registers a promise for a request that `send` hands to the engine, which may use the memory of `borrowed` until the
  /// promise settles.
  template <typename Send>
  Napi::Value request(Send send, const Napi::Value& borrowed = {});
  void submit(StepPlan plan);
  void close();

  void onStep(std::unique_ptr<StepResult> result) override;
  void onReply(std::unique_ptr<Reply> reply) override;
  void stopForExit() override;

 private:
  void deliverStep(const StepResult& result);
  void settle(Reply& reply);
  void begin();
  void finish();

  const Napi::Env env_;
  Reactor& reactor_;
  std::shared_ptr<ModelState> model_;
  Napi::FunctionReference onStep_;
  std::unique_ptr<Engine> engine_;
  struct Pending {
    Napi::Promise::Deferred deferred;
    /// Keeps its memory; empty where nothing is borrowed.
    Napi::ObjectReference borrowed;
  };
  std::map<uint64_t, Pending> pending_;
  /// Keeps the memory that blocks pass through; empty where it is the engine's own.
  Napi::ObjectReference staged_;
  uint64_t nextRequest_ = 1;
  int stepsUnderWay_ = 0;
  bool closed_ = false;
  /// This very object, while something is under way and nobody else may hold it.
  std::shared_ptr<ContextState> self_;
};

/// `Context` of lib/native/context.ts.
class ContextWrap : public Napi::ObjectWrap<ContextWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value open(Napi::Env env, const std::shared_ptr<ModelState>& model, const Napi::Value& options,
                          const Napi::Value& onStep);
  static Napi::Object make(Napi::Env env, std::shared_ptr<ContextState> state);
  explicit ContextWrap(const Napi::CallbackInfo& info);
  ~ContextWrap() override;

 private:
  void openSequence(const Napi::CallbackInfo& info);
  void closeSequence(const Napi::CallbackInfo& info);
  void submitStep(const Napi::CallbackInfo& info);
  void abortStep(const Napi::CallbackInfo& info);
  Napi::Value exportBlocks(const Napi::CallbackInfo& info);
  Napi::Value importBlocks(const Napi::CallbackInfo& info);
  Napi::Value stage(const Napi::CallbackInfo& info);
  Napi::Value stagingBytes(const Napi::CallbackInfo& info);
  Napi::Value embed(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<ContextState> state_;
};

}  // namespace stator::binding
