#pragma once
#include <cstdint>

#include "transfer/descriptor.h"

namespace stator::transfer {

/// `ProcessIdentity` of lib/transfer/mover.ts.
struct ProcessIdentity {
  uint64_t host = 0;
  int processId = 0;
  uint64_t processStart = 0;
};

/// Of this process.
ProcessIdentity ownIdentity();

/// A process by its number and start, so that another one with the same number is not taken for it.
class ProcessWatch {
 public:
  /// Throws UNSUPPORTED when there is no such process, or none that can be looked at.
  ProcessWatch(int processId, uint64_t processStart);

  int processId() const { return processId_; }
  /// Whether it is still there.
  bool lives() const;
  /// Opens what it has open, to read. Throws UNSUPPORTED.
  Descriptor openFile(int number) const;

 private:
  const int processId_;
  const uint64_t processStart_;
  /// Names of files below it never lead to another process.
  Descriptor folder_;
};

/// When a process began, from the text of its `stat`; 0 when it is no such text.
uint64_t startOf(const char* text, size_t size);

}  // namespace stator::transfer
