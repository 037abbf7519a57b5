#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "transfer/descriptor.h"

namespace stator::transfer {

/// Keeps the pages of memory where they are. Its end lets them go.
class Hold {
 public:
  Hold() = default;
  virtual ~Hold() = default;
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
};

/// Memory that others may read, zeroed and touched lazily. Its addresses stay valid until the last reference goes, also
/// when it was given back meanwhile: what is written there then is lost.
class Region {
 public:
  /// A sealed memory file, or private memory where that does not work. Throws OUT_OF_MEMORY, also for more than the machine
  /// has.
  static std::shared_ptr<Region> open(uint32_t id, size_t sizeBytes);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  uint32_t id() const { return id_; }
  uint8_t* data() const { return data_; }
  size_t sizeBytes() const { return sizeBytes_; }
  /// -1 without a memory file.
  int memoryFile() const { return file_.number(); }

  /// Has its pages held by what `take` makes, once, from any thread. They are let go before the memory is: when it is given
  /// back meanwhile, as soon as `take` returns. Throws what `take` throws, INVALID_ARGUMENT where they are held already,
  /// CLOSED where it was given back.
  void hold(const std::function<std::unique_ptr<Hold>(uint8_t* data, size_t sizeBytes)>& take);

  /// Gives its memory back to the system, as far as nobody else has it mapped. Waits for nobody.
  void giveBack();
  bool isGone() const { return gone_; }

 private:
  Region(uint32_t id, uint8_t* data, size_t sizeBytes, Descriptor file)
      : id_(id), data_(data), sizeBytes_(sizeBytes), file_(std::move(file)) {}

  void letGo();

  const uint32_t id_;
  uint8_t* const data_;
  const size_t sizeBytes_;
  std::atomic<bool> gone_{false};

  std::mutex mutex_;
  Descriptor file_;
  std::unique_ptr<Hold> hold_;
  /// Somebody is about to hold the pages: what is to be let go waits for it.
  bool isTaking_ = false;
};

/// The regions of this process by their numbers; for any thread.
class RegionTable {
 public:
  void add(const std::shared_ptr<Region>& region);
  void remove(uint32_t id);
  /// nullptr when there is none.
  std::shared_ptr<Region> find(uint32_t id) const;

 private:
  mutable std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Region>> regions_;
};

}  // namespace stator::transfer
