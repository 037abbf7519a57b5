#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transfer/nixl_library.h"

namespace stator::nixl {

/// How an agent is opened.
struct AgentOptions {
  /// What others know it by; no two agents may have the same one.
  std::string name;
  /// The back end that moves bytes.
  std::string backend = "UCX";
  /// What the back end is told beside its defaults.
  std::vector<std::pair<std::string, std::string>> parameters;
  /// Bytes arrive in pieces of memory of this size.
  size_t pieceBytes = size_t{4} << 20;
  /// So many pieces one peer may fill at a time.
  size_t peerPieces = 4;
  /// So many there may be; transfers that do not end keep theirs.
  size_t mostPieces = 16;
};

/// An agent of the library with one back end. Every call is its owner's thread's.
class Core {
 public:
  /// Throws UNSUPPORTED with the reason.
  Core(std::shared_ptr<const Library> library, const AgentOptions& options);
  ~Core() { close(); }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const Api& api() const { return library_->api; }
  Agent_t agent() const { return agent_; }
  /// Names the back end; for every call that takes arguments.
  OptArgs_t args() const { return args_; }

  /// Lets the back end read and fill memory. Throws UNSUPPORTED. What it returns is for `unregister`.
  RegList_t registerMemory(void* data, size_t sizeBytes);
  void unregister(RegList_t list);
  /// What others need for reading the memory that is registered now. Throws INTERNAL.
  std::vector<uint8_t> metadata() const;

  /// Ends it. False when the library could not: memory that it knows may change then.
  bool close();

 private:
  void openBackend(const AgentOptions& options);

  const std::shared_ptr<const Library> library_;
  Agent_t agent_ = nullptr;
  Backend_t backend_ = nullptr;
  OptArgs_t args_ = nullptr;
};

/// What a status of the library means, in words.
std::string sayStatus(int status);

}  // namespace stator::nixl
