#include "transfer/memory_source.h"

#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/xxh3.h"
#include "engine/failure.h"
#include "transfer/memory_file.h"

namespace stator::transfer {
namespace {

/// So much is copied and then hashed while the nearest cache has it.
constexpr size_t kTileBytes = size_t{16} << 10;
/// So much is copied at most before somebody looks whether the job is over, unless a block is larger.
constexpr size_t kRunBytes = size_t{1} << 20;
/// A call of process_vm_readv reads at most so much: it pins the pages, and the hash finds it in the cache.
constexpr size_t kCallBytes = size_t{512} << 10;
constexpr size_t kCallRuns = 64;

/// Copies a block and answers whether it is what its checksum says. What arrived is hashed, not what was read: the source may
/// change in between.
bool copyChecked(uint8_t* to, const uint8_t* from, size_t size, uint64_t checksum) {
  Xxh3Progress progress;
  progress.begin(to, size, kChecksumSeed);
  for (size_t at = 0; at < size; at += kTileBytes) {
    const size_t some = std::min(kTileBytes, size - at);
    std::memmove(to + at, from + at, some);
    progress.advance(at + some);
  }
  return progress.finish() == checksum;
}

bool isRight(const Job& job, size_t block) {
  const auto& order = job.order();
  return order.checksums.empty() || xxh3(job.target(block), order.blockBytes, kChecksumSeed) == order.checksums[block];
}

/// Copies what begins at `from`; `isOver` settles the job when it has to end.
template <typename IsOver>
void copyMemory(Job& job, const uint8_t* from, IsOver isOver) {
  const auto& order = job.order();
  size_t copied = 0;
  while (copied < job.blocks()) {
    if (isOver(copied)) return;
    const uint8_t* source = from + order.fromOffsets[copied];
    if (order.checksums.empty()) {
      const size_t blocks = runLength(order, copied, kRunBytes);
      std::memmove(job.target(copied), source, blocks * order.blockBytes);
      copied += blocks;
    } else if (copyChecked(job.target(copied), source, order.blockBytes, order.checksums[copied])) {
      copied++;
    } else {
      return job.refuse(copied);
    }
  }
  job.finish(copied);
}

}  // namespace

void MemorySource::submit(std::shared_ptr<Job> job) {
  threads_.run(std::move(job), [self = shared_from_this()](Job& taken) {
    if (!self->isOver(taken, 0)) self->copy(taken);
  });
}

bool MemorySource::isOver(Job& job, size_t copied) const {
  if (closed_ && !job.isSettled()) job.fail(copied, "The memory that it reads was closed.");
  return job.isOver(copied);
}

OwnSource::OwnSource(std::shared_ptr<Region> region, CopyThreads& threads)
    : MemorySource(region->sizeBytes(), threads), region_(std::move(region)) {}

void OwnSource::copy(Job& job) {
  copyMemory(job, region_->data(), [&](size_t copied) { return isOver(job, copied); });
}

SharedSource::SharedSource(const ProcessWatch& process, int memoryFile, size_t sizeBytes, CopyThreads& threads)
    : MemorySource(sizeBytes, threads) {
  const Descriptor file = process.openFile(memoryFile);
  checkMemoryFile(file, sizeBytes);
  void* data = ::mmap(nullptr, sizeBytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, file.number(), 0);
  if (data == MAP_FAILED) {
    throw Failure(Code::unsupported, std::string("The other side's memory file cannot be mapped: ") + std::strerror(errno) + ".");
  }
  data_ = static_cast<const uint8_t*>(data);
}

SharedSource::~SharedSource() { ::munmap(const_cast<uint8_t*>(data_), sizeBytes()); }

void SharedSource::copy(Job& job) {
  copyMemory(job, data_, [&](size_t copied) { return isOver(job, copied); });
}

ProcessSource::ProcessSource(ProcessWatch process, uint64_t address, size_t sizeBytes, CopyThreads& threads)
    : MemorySource(sizeBytes, threads), process_(std::move(process)), address_(address) {
  uint8_t byte = 0;
  for (const uint64_t at : {address, address + sizeBytes - 1}) {
    const iovec to{&byte, 1};
    const iovec from{reinterpret_cast<void*>(at), 1};
    if (::process_vm_readv(process_.processId(), &to, 1, &from, 1, 0) == 1) continue;
    throw Failure(Code::unsupported, std::string("The other process's memory cannot be read: ") + std::strerror(errno) + ".");
  }
}

/// The runs of the blocks from `first` on that one call reads. Returns how many blocks they are.
size_t ProcessSource::runsFrom(const Job& job, size_t first, iovec* from, iovec* to, size_t& count) const {
  const auto& order = job.order();
  size_t blocks = 0;
  size_t room = kCallBytes;
  for (count = 0; count < kCallRuns && first + blocks < job.blocks(); count++) {
    if (blocks > 0 && room < order.blockBytes) break;
    const size_t run = runLength(order, first + blocks, room);
    const size_t bytes = run * order.blockBytes;
    from[count] = {reinterpret_cast<void*>(address_ + order.fromOffsets[first + blocks]), bytes};
    to[count] = {job.target(first + blocks), bytes};
    blocks += run;
    room -= std::min(room, bytes);
  }
  return blocks;
}

/// Reads what one call can; false after it settled the job.
bool ProcessSource::readSome(Job& job, size_t first, size_t& blocks) {
  iovec from[kCallRuns];
  iovec to[kCallRuns];
  size_t count = 0;
  blocks = runsFrom(job, first, from, to, count);
  size_t at = 0;
  while (at < count) {
    const ssize_t got = ::process_vm_readv(process_.processId(), to + at, count - at, from + at, count - at, 0);
    if (got <= 0) {
      job.fail(first, std::string("The other process's memory could not be read: ") + std::strerror(errno) + ".");
      return false;
    }
    // A call may end early, at the end of a run or within it.
    for (auto left = static_cast<size_t>(got); left > 0;) {
      const size_t taken = std::min(left, to[at].iov_len);
      to[at] = {static_cast<uint8_t*>(to[at].iov_base) + taken, to[at].iov_len - taken};
      from[at] = {static_cast<uint8_t*>(from[at].iov_base) + taken, from[at].iov_len - taken};
      left -= taken;
      if (to[at].iov_len == 0) at++;
    }
  }
  return true;
}

void ProcessSource::copy(Job& job) {
  size_t copied = 0;
  while (copied < job.blocks()) {
    if (isOver(job, copied)) return;
    size_t blocks = 0;
    if (!readSome(job, copied, blocks)) return;
    for (const size_t end = copied + blocks; copied < end; copied++) {
      if (!isRight(job, copied)) return job.refuse(copied);
    }
  }
  // Its number may have become another's while it was read.
  process_.lives() ? job.finish(copied) : job.fail(0, "The other process has ended.");
}

}  // namespace stator::transfer
