#pragma once
#include <napi.h>

#include <memory>

#include "binding/mover.h"
#include "transfer/nixl_agent.h"

namespace stator::binding {

/// What a NixlWrap is made of. The mover keeps the agent too, and closes it with itself.
struct OpenedNixl {
  std::shared_ptr<MoverState> mover;
  std::shared_ptr<nixl::Agent> agent;
};

/// `NativeNixl` of lib/native/nixl.ts.
class NixlWrap : public Napi::ObjectWrap<NixlWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit NixlWrap(const Napi::CallbackInfo& info);

  /// `NativeMover.openNixl`.
  static Napi::Value open(Napi::Env env, const std::shared_ptr<MoverState>& mover, const Napi::CallbackInfo& info);

 private:
  Napi::Value registerRegion(const Napi::CallbackInfo& info);
  Napi::Value unregisterRegion(const Napi::CallbackInfo& info);
  Napi::Value openPeer(const Napi::CallbackInfo& info);
  Napi::Value notify(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  OpenedNixl opened_;
};

/// `probeNixl` of lib/native/addon.ts.
Napi::Value probeNixl(const Napi::CallbackInfo& info);

}  // namespace stator::binding
