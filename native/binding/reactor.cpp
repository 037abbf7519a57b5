#include "binding/reactor.h"

#include <memory>
#include <utility>

namespace stator::binding {

void Workers::run(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (quit_) return;
  queue_.push_back(std::move(work));
  if (idle_ < queue_.size() && threads_.size() < most_) threads_.emplace_back([this] { loop(); });
  wake_.notify_one();
}

void Workers::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    idle_++;
    wake_.wait(lock, [&] { return quit_ || !queue_.empty(); });
    idle_--;
    if (quit_) return;
    const auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

void Workers::stop() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

Reactor::Reactor(Napi::Env env) : env_(env), function_(Function::New(env, "stator", 0, 1, this)) {
  function_.Unref(env);
  // Hooks run in reverse: ours joins every thread before the function's own hook closes it.
  napi_add_env_cleanup_hook(env, cleanUp, this);
  // `process.exit` runs no hooks: it goes straight to the destructors of the libraries' statics, which a thread of ours
  // may be reading. The exit event comes before them.
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto leave = Napi::Function::New(env, [this](const Napi::CallbackInfo&) { shutDown(); });
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), leave});
}

Reactor::~Reactor() { shutDown(); }

void Reactor::cleanUp(void* self) { static_cast<Reactor*>(self)->shutDown(); }

void Reactor::shutDown() {
  if (down_.exchange(true)) return;
  for (auto* each : enlisted_) each->stopForExit();
  shortWorkers_.stop();
  longWorkers_.stop();
}

void Reactor::deliver(Task task) {
  auto* boxed = new Task(std::move(task));
  if (function_.NonBlockingCall(boxed) != napi_ok) delete boxed;
}

void Reactor::callJs(Napi::Env env, Napi::Function, Reactor*, Task* boxed) {
  const std::unique_ptr<Task> task(boxed);
  if (static_cast<napi_env>(env) == nullptr) return;
  try {
    (*task)(env);
  } catch (const Napi::Error& error) {
    // A callback of the program threw: the same as from any other callback, an uncaught exception.
    napi_fatal_exception(env, error.Value());
  }
}

void Reactor::hold() {
  if (pending_++ == 0) function_.Ref(env_);
}

void Reactor::release() {
  if (--pending_ == 0 && !down_) function_.Unref(env_);
}

void Reactor::run(Workers& workers, std::function<Task()> work) {
  hold();
  // The work may hold references to JavaScript values, so it travels on and dies on the event loop.
  auto boxed = std::make_shared<std::function<Task()>>(std::move(work));
  workers.run([this, boxed = std::move(boxed)]() mutable {
    Task task = (*boxed)();
    deliver([this, task = std::move(task), boxed = std::move(boxed)](Napi::Env env) {
      release();
      task(env);
    });
  });
}

}  // namespace stator::binding
