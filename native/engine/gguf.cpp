#include "engine/gguf.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/failure.h"

namespace stator {

void checkGguf(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) throw Failure(Code::fileMissing, "Cannot read " + path + ": " + std::strerror(errno) + ".");
  struct {
    char magic[4];
    uint32_t version;
    uint64_t tensors, values;
  } head{};
  if (std::fread(&head, sizeof head, 1, file.get()) != 1 || std::memcmp(head.magic, "GGUF", 4) != 0) {
    throw Failure(Code::fileCorrupt, path + " is not a GGUF file.");
  }
  if (head.version != 2 && head.version != 3) {
    throw Failure(Code::fileCorrupt, path + " has GGUF version " + std::to_string(head.version) + ", not 2 or 3.");
  }
  if (head.tensors > (1u << 20) || head.values > (1u << 20)) {
    throw Failure(Code::fileCorrupt, path + " declares more tensors or values than any model has.");
  }
}

}  // namespace stator
