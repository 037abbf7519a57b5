#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/library.h"
#include "engine/utf8.h"

namespace stator {

/// A loaded model, or a vocabulary alone. Freed when the last handle goes.
struct Model {
  Model(std::shared_ptr<Library> library, stator_model* handle, bool vocabOnly);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const std::shared_ptr<Library> library;
  stator_model* const handle;
  /// Zero in a vocabulary without weights: the library aborts when it is asked for these then.
  stator_model_info info{};
  stator_vocab_info vocab{};
  /// Ids that end a generation, ascending.
  std::vector<int32_t> endTokens;

  const stator_llama_api& api() const { return *library->api; }
  bool ends(int32_t token) const;
  /// For each token, the states of a text that it may follow; an end token follows whole characters. Made at the first
  /// call, which looks at every piece.
  const std::vector<Utf8States>& textBefore() const;

 private:
  mutable std::once_flag textBeforeOnce_;
  mutable std::vector<Utf8States> textBefore_;
};

/// A LoRA adapter. It keeps its model.
struct Adapter {
  Adapter(std::shared_ptr<Model> model, stator_adapter* handle) : model(std::move(model)), handle(handle) {}
  ~Adapter() { model->api().adapter_free(handle); }
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  const std::shared_ptr<Model> model;
  stator_adapter* const handle;
};

/// What a model file is opened with.
struct ModelRequest {
  std::string path;
  int32_t gpuLayers = 0;
  bool mmap = true;
  bool vocabOnly = false;
  bool plainKernels = false;
  stator_progress_fn progress = nullptr;
  void* progressUser = nullptr;
};

/// Opens a GGUF file. Throws FILE_MISSING, FILE_CORRUPT or OUT_OF_MEMORY; ABORTED when `progress` answered false.
std::shared_ptr<Model> openModel(const std::shared_ptr<Library>& library, const ModelRequest& request);

/// Opens a LoRA adapter for a model. Throws as openModel does.
std::shared_ptr<Adapter> openAdapter(const std::shared_ptr<Model>& model, const std::string& path);

/// Tokenizes UTF-8 text. Throws INVALID_ARGUMENT for texts beyond 1 GiB.
std::vector<int32_t> tokenize(const Model& model, const char* text, size_t size, bool addSpecial, bool parseSpecial);

/// Adds the bytes that a token stands for; those of a control token are its name.
void appendPiece(const Model& model, int32_t token, std::string& out);

/// A metadata value; false when the file has none of that name.
bool readMeta(const Model& model, const std::string& key, std::string& out);

}  // namespace stator
