#pragma once
#include <napi.h>

#include <memory>

#include "binding/reactor.h"
#include "binding/values.h"

namespace stator::binding {

/// What one environment (main thread or worker thread) holds.
struct AddonData {
  explicit AddonData(Napi::Env env) : reactor(env) {}
  Reactor reactor;
  Napi::FunctionReference vocab, model, context, encoder, mover, nixl;
};

inline AddonData& dataOf(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

/// Makes a wrapped object; only native code has an External to hand to its constructor.
template <typename T>
Napi::Object makeWrapped(Napi::Env env, const Napi::FunctionReference& constructor, T& content) {
  return constructor.New({Napi::External<T>::New(env, &content)});
}

/// The content given to makeWrapped.
template <typename T>
T& contentOf(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsExternal()) {
    throw toError(info.Env(), Code::invalidArgument, "This class has no public constructor.");
  }
  return *info[0].As<Napi::External<T>>().Data();
}

/// Runs `work` off the event loop and settles a promise with what `finish` makes of its value.
template <typename Work, typename Finish>
Napi::Value promiseOf(Napi::Env env, bool isLong, Work work, Finish finish) {
  const auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto run = [deferred, work = std::move(work), finish = std::move(finish)]() -> Task {
    try {
      return [deferred, finish, value = work()](Napi::Env later) mutable {
        deferred->Resolve(finish(later, std::move(value)));
      };
    } catch (const Failure& failure) {
      return [deferred, failure](Napi::Env later) {
        deferred->Reject(toError(later, failure.code, failure.what()).Value());
      };
    } catch (const std::exception& error) {
      return [deferred, what = std::string(error.what())](Napi::Env later) {
        deferred->Reject(toError(later, Code::internal, what).Value());
      };
    }
  };
  auto& reactor = dataOf(env).reactor;
  isLong ? reactor.runLong(std::move(run)) : reactor.runShort(std::move(run));
  return deferred->Promise();
}

}  // namespace stator::binding
