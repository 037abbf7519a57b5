#pragma once
#include <napi.h>

#include "binding/context.h"

namespace stator::binding {

EngineOptions readEngineOptions(const Napi::Value& value);
Sampling readSampling(const Napi::Value& value);
/// The adapter id is returned beside the plan.
StepPlan readPlan(const Napi::Value& value, int64_t& adapter);
EmbedJob readEmbedJob(const Napi::Value& inputs, const Napi::Value& options);

Napi::Object makeResult(Napi::Env env, const StepResult& result);
Napi::Object makeLayout(Napi::Env env, const KvLayout& layout);

}  // namespace stator::binding
