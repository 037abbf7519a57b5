#include "engine/model.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "engine/failure.h"
#include "engine/gguf.h"

namespace stator {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

bool mentionsMemory(const std::string& text) {
  return text.find("alloc") != std::string::npos || text.find("memory") != std::string::npos;
}

Failure refusal(const std::string& path, const std::string& reason) {
  if (mentionsMemory(reason)) return Failure(Code::outOfMemory, "Not enough memory for " + path + ": " + reason + ".");
  return Failure(Code::fileCorrupt, "The library refuses " + path + ": " + reason + ".");
}

}  // namespace

Model::Model(std::shared_ptr<Library> from, stator_model* opened, bool vocabOnly)
    : library(std::move(from)), handle(opened) {
  if (!vocabOnly) api().model_info(handle, &info);
  api().vocab_info(handle, &vocab);
  for (int32_t token = 0; token < vocab.size; token++) {
    if (api().token_attributes(handle, token) & STATOR_TOKEN_END) endTokens.push_back(token);
  }
}

Model::~Model() { api().model_free(handle); }

bool Model::ends(int32_t token) const { return std::binary_search(endTokens.begin(), endTokens.end(), token); }

const std::vector<Utf8States>& Model::textBefore() const {
  std::call_once(textBeforeOnce_, [this] {
    textBefore_.reserve(static_cast<size_t>(vocab.size));
    std::string piece;
    for (int32_t token = 0; token < vocab.size; token++) {
      piece.clear();
      appendPiece(*this, token, piece);
      textBefore_.push_back(ends(token) ? only(Utf8::start) : statesBefore(piece));
    }
  });
  return textBefore_;
}

std::shared_ptr<Model> openModel(const std::shared_ptr<Library>& library, const ModelRequest& request) {
  checkGguf(request.path, request.vocabOnly ? GgufKind::vocabulary : GgufKind::model);
  struct Watch {
    const ModelRequest& request;
    bool stopped = false;
  } watch{request};
  const auto progress = [](float ratio, void* user) {
    auto& seen = *static_cast<Watch*>(user);
    seen.stopped = seen.request.progress != nullptr && !seen.request.progress(ratio, seen.request.progressUser);
    return !seen.stopped;
  };
  const stator_model_options options{request.gpuLayers, request.mmap, request.vocabOnly, request.plainKernels,
                                     progress, &watch};
  const LibraryLog::Capture errors;
  char why[512] = "";
  auto* handle = library->api->model_open(request.path.c_str(), &options, {why, sizeof why});
  // A loader reads the whole vocabulary twice over; what it let go stays with the process otherwise.
  malloc_trim(0);
  if (handle != nullptr) return std::make_shared<Model>(library, handle, request.vocabOnly);
  if (watch.stopped) throw Failure(Code::aborted, "Loading " + request.path + " was stopped.");
  throw refusal(request.path, why[0] != 0 ? why : errors.text("no reason given"));
}

std::shared_ptr<Adapter> openAdapter(const std::shared_ptr<Model>& model, const std::string& path) {
  checkGguf(path, GgufKind::adapter);
  const LibraryLog::Capture errors;
  char why[512] = "";
  auto* handle = model->api().adapter_open(model->handle, path.c_str(), {why, sizeof why});
  if (handle != nullptr) return std::make_shared<Adapter>(model, handle);
  throw refusal(path, why[0] != 0 ? why : errors.text("no reason given"));
}

std::vector<int32_t> tokenize(const Model& model, const char* text, size_t size, bool addSpecial, bool parseSpecial) {
  require(size < kMaxTextBytes, "A text of more than 1 GiB cannot be tokenized.");
  const auto& vocab = model.vocab;
  const bool complete = (!vocab.add_bos || vocab.bos >= 0) && (!vocab.add_eos || vocab.eos >= 0);
  require(!addSpecial || complete, "The vocabulary asks for a begin or end token that it does not have.");
  std::vector<int32_t> tokens(size / 2 + 16);
  for (;;) {
    const int32_t count =
        model.api().tokenize(model.handle, text, static_cast<int32_t>(size), tokens.data(),
                             static_cast<int32_t>(tokens.size()), addSpecial, parseSpecial);
    if (count == INT32_MIN) throw Failure(Code::internal, "The library failed to tokenize a text.");
    tokens.resize(static_cast<size_t>(count < 0 ? -count : count));
    if (count >= 0) return tokens;
  }
}

void appendPiece(const Model& model, int32_t token, std::string& out) {
  char piece[256];
  int32_t size = model.api().token_piece(model.handle, token, piece, sizeof piece);
  if (size >= 0) {
    out.append(piece, static_cast<size_t>(size));
    return;
  }
  std::string longer(static_cast<size_t>(-size), '\0');
  size = model.api().token_piece(model.handle, token, longer.data(), -size);
  if (size > 0) out.append(longer, 0, static_cast<size_t>(size));
}

bool readMeta(const Model& model, const std::string& key, std::string& out) {
  char probe[2];
  const int32_t length = model.api().model_meta(model.handle, key.c_str(), {probe, sizeof probe});
  if (length < 0) return false;
  out.resize(static_cast<size_t>(length) + 1);
  model.api().model_meta(model.handle, key.c_str(), {out.data(), out.size()});
  out.resize(static_cast<size_t>(length));
  return true;
}

}  // namespace stator
