#include "fake_llama.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "check.h"
#include "engine/kv_layout.h"

struct stator_model {};
struct stator_adapter {};
struct stator_grammar {
  int32_t allowed;
  int accepted = 0;
};
struct stator_context {
  stator_context_options options;
  /// One cell per sequence and position here: copies count as shared, so only distinct ones are charged.
  std::map<int32_t, std::map<int32_t, int32_t>> sequences;
  std::vector<std::vector<float>> logits;
  bool adapted = false;
};

namespace stator::test {
namespace {

std::atomic<int> alive{0};
constexpr const char* kWhy = "fake fault";
constexpr int32_t kAnyToken = -1;

KvLayout fakeLayout(uint32_t streams = 1) { return {{{{1, 4, 1, 8}, {1, 4, 1, 8}}}, {}, streams}; }

uint32_t streamsOf(const stator_context& context) { return context.options.streams ? context.options.sequences : 1; }

uint32_t cellsOf(const stator_context* context) { return context->options.cells / streamsOf(*context); }

std::mutex callsMutex;
std::vector<std::string> calls;

void noteCall(std::string call) {
  const std::lock_guard lock(callsMutex);
  calls.push_back(std::move(call));
}

void assertThat(bool condition, const char* what) {
  if (!condition) fail("fake_llama", 0, what);
}

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  return z ^ (z >> 27);
}

uint64_t cellHash(int32_t position, int32_t token) {
  return mix(static_cast<uint64_t>(position) * 1000003u + static_cast<uint64_t>(token) + 1);
}

int32_t tokenOf(uint64_t sum) { return static_cast<int32_t>(mix(sum) % (kFakeVocab - 1)); }

void say(stator_text out, const char* text) {
  if (out.capacity > 0) std::strncpy(out.data, text, out.capacity - 1);
}

stator_context* contextOpen(stator_model*, const stator_context_options* options, stator_text why) {
  if (fakeFaults().openFails) {
    say(why, kWhy);
    return nullptr;
  }
  alive++;
  return new stator_context{*options, {}, {}, false};
}

void contextFree(stator_context* context) {
  alive--;
  delete context;
}

size_t usedCells(const stator_context& context) {
  std::map<std::pair<int32_t, int32_t>, bool> distinct;
  for (const auto& [sequence, cells] : context.sequences) {
    for (const auto& [position, token] : cells) distinct[{position, token}] = true;
  }
  return distinct.size();
}

/// With streams the library cuts whatever is no rectangle of sequences that follow each other.
void checkRectangle(const stator_batch& batch) {
  std::map<int32_t, int32_t> counts;
  for (int32_t i = 0; i < batch.count; i++) counts[batch.sequences[i]]++;
  std::string text;
  int32_t last = counts.begin()->first - 1;
  for (const auto& [sequence, count] : counts) {
    assertThat(sequence == ++last, "sequences that do not follow each other");
    assertThat(count == counts.begin()->second, "sequences with other numbers of tokens");
    text += (text.empty() ? "" : ",") + std::to_string(sequence);
  }
  for (int32_t i = 1; i < batch.count; i++) {
    assertThat(batch.sequences[i] >= batch.sequences[i - 1], "sequences out of order");
  }
  noteCall(text + "x" + std::to_string(counts.begin()->second));
}

stator_decode_status decode(stator_context* context, const stator_batch* batch) {
  if (context->options.streams) checkRectangle(*batch);
  assertThat(batch->count > 0, "an empty batch");
  assertThat(batch->count <= static_cast<int32_t>(context->options.batch_tokens), "a batch beyond its limit");
  if (fakeFaults().decodeFails) return STATOR_DECODE_FAILED;
  while (fakeFaults().decodeHangs) {
    if (context->options.abort(context->options.abort_user)) return STATOR_DECODE_ABORTED;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  const size_t used = context->options.streams ? 0 : usedCells(*context);
  if (used + static_cast<size_t>(batch->count) > context->options.cells) return STATOR_DECODE_NO_SPACE;
  const auto outputs = std::count_if(batch->outputs, batch->outputs + batch->count, [](int8_t each) { return each != 0; });
  const auto most = context->options.outputs == 0 ? context->options.batch_tokens : context->options.outputs;
  assertThat(outputs <= static_cast<int64_t>(most), "more rows to read than the context gives");
  context->logits.assign(static_cast<size_t>(batch->count), {});
  for (int32_t i = 0; i < batch->count; i++) {
    const int32_t sequence = batch->sequences[i];
    assertThat(batch->tokens[i] >= 0 && batch->tokens[i] < kFakeVocab, "a token beyond the vocabulary");
    assertThat(sequence >= 0 && sequence < static_cast<int32_t>(context->options.sequences), "an unknown sequence");
    auto& cells = context->sequences[sequence];
    const int32_t last = cells.empty() ? -1 : cells.rbegin()->first;
    assertThat(batch->positions[i] == last + 1, "a position that does not follow");
    assertThat(batch->positions[i] < static_cast<int32_t>(cellsOf(context)), "a position beyond the cells");
    cells[batch->positions[i]] = batch->tokens[i];
    if (batch->outputs[i] == 0) continue;
    uint64_t sum = context->adapted ? 77 : 0;
    for (const auto& [position, token] : cells) sum += cellHash(position, token);
    const int32_t next = tokenOf(sum);
    auto& row = context->logits[static_cast<size_t>(i)];
    row.resize(kFakeVocab);
    for (int32_t k = 0; k < kFakeVocab; k++) row[static_cast<size_t>(k)] = -static_cast<float>(std::abs(k - next));
  }
  return STATOR_DECODE_OK;
}

float* logits(stator_context* context, int32_t index) {
  auto& row = context->logits.at(static_cast<size_t>(index));
  assertThat(!row.empty(), "logits that were not asked for");
  return row.data();
}

void sequenceCopy(stator_context* context, int32_t from, int32_t to, int32_t p0, int32_t p1) {
  auto& target = context->sequences[to];
  for (const auto& [position, token] : context->sequences[from]) {
    if (position < p0 || position >= p1) continue;
    assertThat(!target.contains(position), "a copy over existing cells");
    target[position] = token;
  }
}

bool sequenceRemove(stator_context* context, int32_t sequence, int32_t p0, int32_t p1) {
  auto& cells = context->sequences[sequence];
  std::erase_if(cells, [&](const auto& cell) { return cell.first >= p0 && (p1 < 0 || cell.first < p1); });
  return true;
}

int32_t sequenceFirst(stator_context* context, int32_t sequence) {
  const auto& cells = context->sequences[sequence];
  return cells.empty() ? -1 : cells.begin()->first;
}

int32_t sequenceLast(stator_context* context, int32_t sequence) {
  const auto& cells = context->sequences[sequence];
  return cells.empty() ? -1 : cells.rbegin()->first;
}

/// Canonical bytes of the cells, each row filled with its token.
std::vector<uint8_t> rowsOf(const std::map<int32_t, int32_t>& cells) {
  std::vector<uint8_t> out;
  const auto layout = fakeLayout();
  for (const auto& layer : layout.caches[0]) {
    for (const size_t width : {layer.keyRowBytes, layer.valueRowBytes}) {
      for (const auto& [position, token] : cells) out.insert(out.end(), width, static_cast<uint8_t>(token));
    }
  }
  return out;
}

size_t stateSize(stator_context* context, int32_t sequence) {
  return fakeLayout(streamsOf(*context)).blobBytes(context->sequences[sequence].size());
}

size_t stateGet(stator_context* context, int32_t sequence, uint8_t* out, size_t size) {
  const auto& cells = context->sequences[sequence];
  const auto layout = fakeLayout(streamsOf(*context));
  std::vector<uint8_t> blob(layout.blobBytes(cells.size()));
  toLibrary(layout, rowsOf(cells), cells.begin()->first, blob);
  assertThat(blob.size() <= size, "a buffer that is too small");
  std::memcpy(out, blob.data(), blob.size());
  return blob.size();
}

size_t stateSet(stator_context* context, int32_t sequence, const uint8_t* data, size_t size) {
  uint32_t count = 0;
  int32_t p0 = 0;
  std::memcpy(&count, data + 12, 4);
  std::memcpy(&p0, data + 16, 4);
  std::vector<uint8_t> rows(count * fakeLayout().tokenBytes());
  assertThat(toCanonical(fakeLayout(), {data, size}, p0, p0 + static_cast<int32_t>(count), rows), "a broken blob");
  if (usedCells(*context) + count > context->options.cells) return 0;
  auto& cells = context->sequences[sequence];
  cells.clear();
  for (uint32_t i = 0; i < count; i++) cells[p0 + static_cast<int32_t>(i)] = rows[i * 4];
  return size;
}

bool rowsGet(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, uint8_t* out, size_t size) {
  std::map<int32_t, int32_t> range;
  for (const auto& [position, token] : context->sequences[sequence]) {
    if (position >= p0 && position < p1) range[position] = token;
  }
  const auto bytes = rowsOf(range);
  if (bytes.size() != size) return false;
  const std::span<const uint8_t> blocks[] = {bytes};
  blocksToRows(fakeLayout(streamsOf(*context)), blocks, {out, size});
  return true;
}

bool rowsSet(stator_context* context, int32_t sequence, int32_t p0, int32_t p1, const uint8_t* head, size_t headSize,
             const uint8_t* rows, size_t size) {
  const auto layout = fakeLayout(streamsOf(*context));
  const auto expected = libraryHead(layout, p1);
  assertThat(std::vector<uint8_t>(head, head + headSize) == expected, "another head");
  auto& cells = context->sequences[sequence];
  assertThat(static_cast<int32_t>(cells.size()) == p0, "rows that do not follow");
  std::vector<uint8_t> bytes(size);
  const std::span<uint8_t> blocks[] = {bytes};
  rowsToBlocks(layout, {rows, size}, blocks);
  for (int32_t i = p0; i < p1; i++) cells[i] = bytes[static_cast<size_t>(i - p0) * 4];
  return true;
}

void rowsForget(stator_context* context, int32_t sequence, int32_t p0, size_t cells) {
  assertThat(!context->sequences[sequence].empty(), "an empty sequence has no tensors to visit");
  noteCall("forget " + std::to_string(sequence) + ":" + std::to_string(p0) + "+" + std::to_string(cells));
}

void modelInfo(const stator_model*, stator_model_info* out) {
  *out = {};
  out->layers = 2;
  out->embedding = out->embedding_out = 4;
  out->train_context_tokens = 64;
  out->recurrent = fakeFaults().recurrent;
}

int32_t fakeTokenize(const stator_model*, const char*, int32_t length, int32_t* out, int32_t capacity, bool, bool) {
  for (int32_t i = 0; i < std::min(length, capacity); i++) out[i] = 1;
  return length <= capacity ? length : -length;
}

int32_t fakePiece(const stator_model*, int32_t token, char* out, int32_t capacity) {
  if (token == kFakeEnd) return 0;
  if (capacity < 1) return -1;
  *out = token < kFakeFirstByte ? static_cast<char>('A' + token) : kFakeBytes[token - kFakeFirstByte];
  return 1;
}

/// A grammar "root ::= <[N]>" allows the token N twice and then the end, "root ::= .*" whatever comes.
stator_grammar* grammarOpen(const stator_model*, const char* text, stator_text why) {
  const char* id = std::strstr(text, "<[");
  const bool any = std::strcmp(text, "root ::= .*") == 0;
  if (id == nullptr && !any) {
    say(why, kWhy);
    return nullptr;
  }
  alive++;
  return new stator_grammar{any ? kAnyToken : std::atoi(id + 2), 0};
}

void grammarFree(stator_grammar* grammar) {
  alive--;
  delete grammar;
}

bool grammarAllows(stator_grammar* grammar, int32_t token) {
  return grammar->allowed == kAnyToken || token == (grammar->accepted < 2 ? grammar->allowed : kFakeEnd);
}

void grammarMask(stator_grammar* grammar, const int32_t* tokens, float* values, size_t count) {
  for (size_t i = 0; i < count; i++) values[i] = grammarAllows(grammar, tokens[i]) ? values[i] : -INFINITY;
}

bool grammarAccept(stator_grammar* grammar, int32_t token) {
  if (!grammarAllows(grammar, token)) return false;
  grammar->accepted++;
  return true;
}

const float* embedding(stator_context* context, int32_t sequence) {
  static thread_local float vector[4];
  const auto& cells = context->sequences[sequence];
  for (int32_t i = 0; i < 4; i++) vector[i] = static_cast<float>(cells.begin()->second + i);
  return vector;
}

stator_llama_api makeTable() {
  stator_llama_api table{};
  table.revision = STATOR_LLAMA_API_REVISION;
  table.size = sizeof table;
  table.model_free = [](stator_model* model) {
    alive--;
    delete model;
  };
  table.model_info = modelInfo;
  table.vocab_info = [](const stator_model*, stator_vocab_info* out) { *out = {kFakeVocab, 0, kFakeEnd, -1, false, false}; };
  table.token_attributes = [](const stator_model*, int32_t token) -> uint8_t {
    return token == kFakeEnd ? STATOR_TOKEN_END : 0;
  };
  table.tokenize = fakeTokenize;
  table.token_piece = fakePiece;
  table.adapter_free = [](stator_adapter* adapter) {
    alive--;
    delete adapter;
  };
  table.adapter_open = [](stator_model*, const char*, stator_text) {
    alive++;
    return new stator_adapter{};
  };
  table.context_open = contextOpen;
  table.context_free = contextFree;
  table.context_cells = cellsOf;
  table.context_has_memory = [](const stator_context*) { return true; };
  table.context_adapter = [](stator_context* context, stator_adapter* adapter) {
    context->adapted = adapter != nullptr;
    return true;
  };
  table.decode = decode;
  table.logits = logits;
  table.embedding = embedding;
  table.memory_clear = [](stator_context* context) { context->sequences.clear(); };
  table.sequence_copy = sequenceCopy;
  table.sequence_remove = sequenceRemove;
  table.sequence_first = sequenceFirst;
  table.sequence_last = sequenceLast;
  table.state_size = stateSize;
  table.state_get = stateGet;
  table.state_set = stateSet;
  table.rows_get = rowsGet;
  table.rows_set = rowsSet;
  table.rows_forget = rowsForget;
  table.grammar_open = grammarOpen;
  table.grammar_free = grammarFree;
  table.grammar_allows = grammarAllows;
  table.grammar_mask = grammarMask;
  table.grammar_accept = grammarAccept;
  return table;
}

}  // namespace

FakeFaults& fakeFaults() {
  static FakeFaults faults;
  return faults;
}

std::shared_ptr<Model> openFake() {
  static const stator_llama_api table = makeTable();
  fakeFaults().reset();
  auto library = std::make_shared<Library>();
  library->api = &table;
  alive++;
  return std::make_shared<Model>(library, new stator_model{}, false);
}

int32_t fakeNext(const std::vector<int32_t>& tokens) {
  uint64_t sum = 0;
  for (size_t i = 0; i < tokens.size(); i++) sum += cellHash(static_cast<int32_t>(i), tokens[i]);
  return tokenOf(sum);
}

std::vector<std::string> takeFakeCalls() {
  const std::lock_guard lock(callsMutex);
  return std::exchange(calls, {});
}

int fakeAlive() { return alive; }

}  // namespace stator::test
