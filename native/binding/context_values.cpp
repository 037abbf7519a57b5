#include "binding/context_values.h"

#include <cmath>
#include <limits>

#include "binding/values.h"

namespace stator::binding {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxSafe = (int64_t{1} << 53) - 1;
constexpr int32_t kMaxCells = 1 << 26;
constexpr int32_t kMaxSlots = 255;
constexpr int32_t kMaxThreads = 512;

/// Reads options by name; a missing one keeps the default.
class Options {
 public:
  explicit Options(Napi::Object object) : object_(object) {}

  Napi::Value get(const char* name) const { return object_.Get(name); }
  void read(const char* name, int32_t& out, int64_t least, int64_t most) const {
    if (const auto value = get(name); given(value)) out = static_cast<int32_t>(readInteger(value, name, least, most));
  }
  void read(const char* name, float& out) const {
    if (const auto value = get(name); given(value)) out = static_cast<float>(readNumber(value, name));
  }
  void read(const char* name, bool& out) const {
    if (const auto value = get(name); given(value)) out = readBool(value, name);
  }
  void read(const char* name, std::string& out) const {
    if (const auto value = get(name); given(value)) out = readText(value, name);
  }
  void readIds(const char* name, std::vector<int32_t>& out) const {
    if (const auto value = get(name); given(value)) out = readTokens(value, name);
  }

 private:
  Napi::Object object_;
};

int32_t readKvType(const Options& options, const char* name) {
  std::string text = "f16";
  options.read(name, text);
  for (const int32_t type : {0, 1, 30, 8, 2, 3, 6, 7, 20}) {
    if (typeName(type) == text) return type;
  }
  throw Failure(Code::invalidArgument, std::string(name) + " cannot be \"" + text + "\".");
}

const char* statusName(StepStatus status) {
  constexpr const char* names[] = {"ok", "aborted", "no_space", "error", "discarded"};
  return names[static_cast<int>(status)];
}

}  // namespace

EngineOptions readEngineOptions(const Napi::Value& value) {
  const auto object = readObject(value, "options");
  const Options options(object);
  EngineOptions out;
  out.cells = static_cast<int32_t>(readInteger(object.Get("cellTokens"), "cellTokens", 1, kMaxCells));
  out.slots = static_cast<int32_t>(readInteger(object.Get("maxSequences"), "maxSequences", 1, kMaxSlots));
  out.batchTokens = static_cast<int32_t>(readInteger(object.Get("maxBatchTokens"), "maxBatchTokens", 1, kMaxCells));
  options.read("threads", out.threads, 1, kMaxThreads);
  out.batchThreads = out.threads;
  options.read("batchThreads", out.batchThreads, 1, kMaxThreads);
  out.keyType = readKvType(options, "kvTypeK");
  out.valueType = readKvType(options, "kvTypeV");
  options.read("flashAttention", out.flashAttention);
  options.read("maxOutputs", out.outputs, 1, kMaxCells);
  options.read("streams", out.streams);
  options.read("pairRows", out.pairRows);
  options.read("hostMemory", out.hostMemory);
  require(out.streams || out.batchTokens <= out.cells, "A step has more tokens than the cache has cells.");
  const bool plain = out.valueType == 0 || out.valueType == 1 || out.valueType == 30;
  require(out.flashAttention || plain, "A quantized V cache needs flash attention.");
  return out;
}

Sampling readSampling(const Napi::Value& value) {
  const Options options(readObject(value, "sampling"));
  Sampling out;
  options.read("temperature", out.temperature);
  options.read("topK", out.topK, -1, kMaxInt);
  options.read("topP", out.topP);
  options.read("minP", out.minP);
  options.read("repetitionPenalty", out.repetitionPenalty);
  options.read("frequencyPenalty", out.frequencyPenalty);
  options.read("presencePenalty", out.presencePenalty);
  if (const auto seed = options.get("seed"); given(seed)) out.seed = readU64(seed, "seed");
  if (const auto choice = options.get("choice"); given(choice)) {
    out.choice = static_cast<uint32_t>(readInteger(choice, "choice", 0, std::numeric_limits<uint32_t>::max()));
  }
  options.read("firstPosition", out.firstPosition, 0, kMaxInt);
  if (const auto bias = options.get("logitBias"); given(bias)) {
    const auto object = readObject(bias, "logitBias");
    out.biasIds = readTokens(object.Get("ids"), "logitBias.ids");
    const auto values = viewF32(object.Get("values"), "logitBias.values");
    out.biasValues.assign(values.data, values.data + values.size);
  }
  options.readIds("stopTokens", out.stopTokens);
  options.read("ignoreEos", out.ignoreEos);
  options.read("minTokens", out.minTokens, 0, kMaxInt);
  options.read("maxTokens", out.maxTokens, 0, kMaxInt);
  options.read("logprobs", out.logprobs, -1, 20);
  options.read("grammar", out.grammar);
  options.readIds("promptTokens", out.promptTokens);
  options.readIds("generatedTokens", out.generatedTokens);
  return out;
}

StepPlan readPlan(const Napi::Value& value, int64_t& adapter) {
  const auto object = readObject(value, "plan");
  StepPlan plan;
  plan.step = readInteger(object.Get("step"), "step", 0, kMaxSafe);
  adapter = readInteger(object.Get("adapter"), "adapter", -1, kMaxSafe);
  plan.ops = readInts(object.Get("ops"), "ops");
  plan.slots = readInts(object.Get("slots"), "slots");
  plan.positions = readInts(object.Get("positions"), "positions");
  plan.counts = readInts(object.Get("counts"), "counts");
  plan.tokens = readTokens(object.Get("tokens"), "tokens");
  if (const auto targets = object.Get("targets"); given(targets)) plan.targets = readInts(targets, "targets");
  const auto flags = viewBytes(object.Get("flags"), "flags");
  plan.flags.assign(flags.data, flags.data + flags.size);
  return plan;
}

EmbedJob readEmbedJob(const Napi::Value& inputs, const Napi::Value& options) {
  EmbedJob job;
  require(inputs.IsArray(), "inputs must be an array.");
  const auto list = inputs.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) job.inputs.push_back(readTokens(list.Get(i), "An input to embed"));
  if (!given(options)) return job;
  const Options given(readObject(options, "options"));
  given.read("normalize", job.normalize);
  std::string pooling = "mean";
  given.read("pooling", pooling);
  require(pooling == "mean" || pooling == "last" || pooling == "cls", "pooling cannot be \"" + pooling + "\".");
  job.pooling = pooling == "mean" ? STATOR_POOLING_MEAN : pooling == "last" ? STATOR_POOLING_LAST : STATOR_POOLING_CLS;
  return job;
}

Napi::Object makeResult(Napi::Env env, const StepResult& result) {
  auto out = Napi::Object::New(env);
  out.Set("step", Napi::Number::New(env, static_cast<double>(result.step)));
  out.Set("status", statusName(result.status));
  out.Set("durationUs", result.durationUs);
  out.Set("slots", makeInts(env, result.slots));
  out.Set("tokens", makeInts(env, result.tokens));
  out.Set("ends", makeBytes(env, result.ends.data(), result.ends.size()));
  if (!result.logprobs.empty()) {
    out.Set("logprobs", makeFloats(env, result.logprobs));
    out.Set("ranks", makeInts(env, result.ranks));
  }
  if (!result.topIds.empty()) {
    auto top = Napi::Object::New(env);
    top.Set("entries", makeInts(env, result.topEntries));
    top.Set("ids", makeInts(env, result.topIds));
    top.Set("values", makeFloats(env, result.topValues));
    out.Set("top", top);
  }
  if (!result.scores.empty()) {
    auto scores = Napi::Object::New(env);
    scores.Set("entries", makeInts(env, result.scoreEntries));
    scores.Set("logprobs", makeFloats(env, result.scores));
    scores.Set("topIds", makeInts(env, result.scoreTopIds));
    scores.Set("topValues", makeFloats(env, result.scoreTopValues));
    out.Set("scores", scores);
  }
  auto errors = Napi::Array::New(env, result.errors.size());
  for (uint32_t i = 0; i < result.errors.size(); i++) {
    auto error = Napi::Object::New(env);
    error.Set("slot", result.errors[i].slot);
    error.Set("message", result.errors[i].message);
    errors[i] = error;
  }
  out.Set("errors", errors);
  return out;
}

Napi::Object makeLayout(Napi::Env env, const KvLayout& layout) {
  auto layers = Napi::Array::New(env);
  uint32_t count = 0;
  for (const auto& cache : layout.caches) {
    for (const auto& layer : cache) {
      auto each = Napi::Object::New(env);
      each.Set("keyType", typeName(layer.keyType));
      each.Set("keyRowBytes", static_cast<double>(layer.keyRowBytes));
      each.Set("valueType", typeName(layer.valueType));
      each.Set("valueRowBytes", static_cast<double>(layer.valueRowBytes));
      layers[count++] = each;
    }
  }
  auto out = Napi::Object::New(env);
  out.Set("layers", layers);
  out.Set("tokenBytes", static_cast<double>(layout.tokenBytes()));
  out.Set("exportable", layout.exportable());
  if (!layout.exportable()) out.Set("reason", layout.reason);
  return out;
}

}  // namespace stator::binding
