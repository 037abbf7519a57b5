#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "transfer/nixl_core.h"

namespace stator::nixl {

/// Consecutive bytes of a peer's memory.
struct Span {
  uint64_t address = 0;
  size_t bytes = 0;
};

/// One READ of the library.
class Request {
 public:
  /// Reads the spans, one after the other, to `to`. Where that does not begin, the status says so.
  Request(Core& core, const std::string& peer, const std::vector<Span>& from, uint8_t* to);
  /// Lets it go; it is given up when it has not ended.
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  /// Asks the library.
  int poll();
  int status() const { return status_; }
  bool hasEnded() const { return status_ != kUnderWay; }
  /// Bytes of it may have been on their way when it failed.
  bool hasBegun() const { return request_ != nullptr; }

 private:
  Core& core_;
  XferReq_t request_ = nullptr;
  int status_ = kInvalid;
};

}  // namespace stator::nixl
