// The least that a prefix index can do, for the bench of ours: one flat table from a chain hash to a set of 64 workers, and
// a search that looks at every 32nd block first. It is given the chain hashes.
//   index-floor FILE     reads the workload, answers each line "QUERIES" (a number) with "P50_US WRONG"
// FILE, little endian: u64 stores, entries, distinct blocks, kinds; stores of {u64 worker, from, blocks}; u64 total and as many sequence hashes; for
// each kind of queries u64 blocks, count, then count × blocks sequence hashes and count × 64 u16 depths.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <sys/mman.h>

namespace {

constexpr size_t kStep = 32;
constexpr size_t kAhead = 16;
constexpr size_t kWorkers = 64;

struct Place {
  uint64_t hash;
  uint64_t workers;
};

class FlatTable {
 public:
  /// Large pages: a table at random places is as fast as its page table.
  explicit FlatTable(size_t blocks) : mask_(std::bit_ceil(blocks * 4 / 3 + 1) - 1) {
    const size_t bytes = (mask_ + 1) * sizeof(Place);
    places_ = static_cast<Place*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (places_ == MAP_FAILED) exit(3);
    madvise(places_, bytes, MADV_HUGEPAGE);
  }

  void add(uint64_t hash, unsigned worker) {
    size_t at = hash & mask_;
    while (places_[at].hash != 0 && places_[at].hash != hash) at = (at + 1) & mask_;
    places_[at].hash = hash;
    places_[at].workers |= uint64_t{1} << worker;
  }

  void fetch(uint64_t hash) const { __builtin_prefetch(&places_[hash & mask_]); }

  uint64_t find(uint64_t hash) const {
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      if (places_[at].hash == hash) return places_[at].workers;
      if (places_[at].hash == 0) return 0;
    }
  }

  /// Blocks in a row from the first on, by worker; `depths` is zero before.
  void match(const uint64_t* hashes, size_t count, uint32_t* depths) const {
    fetch(hashes[0]);
    for (size_t at = kStep; at < count && at <= kAhead * kStep; at += kStep) fetch(hashes[at]);
    uint64_t left = find(hashes[0]);
    for (size_t low = 0; left != 0 && low + 1 < count;) {
      const size_t high = std::min(low + kStep, count - 1);
      if (high + kAhead * kStep < count) fetch(hashes[high + kAhead * kStep]);
      const uint64_t end = find(hashes[high]) & left;
      if (end != left) left = scan(hashes, low, high, left, end, depths);
      low = high;
    }
    tell(left, static_cast<uint32_t>(count), depths);
  }

 private:
  /// Somebody dropped out between two steps.
  uint64_t scan(const uint64_t* hashes, size_t low, size_t high, uint64_t left, uint64_t end, uint32_t* depths) const {
    for (size_t at = low + 1; at < high; at++) fetch(hashes[at]);
    for (size_t at = low + 1; at <= high && left != end; at++) {
      const uint64_t kept = (at == high ? end : find(hashes[at])) & left;
      if (kept == left) continue;
      tell(left & ~kept, static_cast<uint32_t>(at), depths);
      left = kept;
    }
    return left;
  }

  static void tell(uint64_t workers, uint32_t depth, uint32_t* depths) {
    for (; workers != 0; workers &= workers - 1) depths[std::countr_zero(workers)] = depth;
  }

  Place* places_;
  size_t mask_;
};

struct Queries {
  uint64_t blocks = 0, count = 0;
  std::vector<uint64_t> hashes;
  std::vector<uint16_t> depths;
};

template <typename Value>
void read(FILE* file, Value* values, size_t count) {
  if (fread(values, sizeof(Value), count, file) != count) exit(2);
}

double nowUs() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

void answer(const FlatTable& table, const Queries& queries) {
  std::vector<uint64_t> asked(queries.blocks);
  std::vector<double> took;
  uint32_t depths[kWorkers];
  size_t wrong = 0;
  for (size_t query = 0; query < queries.count; query++) {
    memcpy(asked.data(), &queries.hashes[query * queries.blocks], queries.blocks * sizeof(uint64_t));
    const double before = nowUs();
    memset(depths, 0, sizeof depths);
    table.match(asked.data(), queries.blocks, depths);
    asm volatile("" : : "r"(depths) : "memory");
    took.push_back(nowUs() - before);
    for (size_t worker = 0; worker < kWorkers; worker++) {
      if (depths[worker] != queries.depths[query * kWorkers + worker]) wrong++;
    }
  }
  std::sort(took.begin(), took.end());
  printf("%.4f %zu\n", took[took.size() / 2], wrong);
  fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  FILE* file = count == 2 ? fopen(arguments[1], "rb") : nullptr;
  if (file == nullptr) return 1;
  uint64_t head[4], total = 0;
  read(file, head, 4);
  std::vector<uint64_t> stores(head[0] * 3);
  read(file, stores.data(), stores.size());
  read(file, &total, 1);
  std::vector<uint64_t> hashes(total);
  read(file, hashes.data(), total);
  FlatTable table(head[2]);
  for (size_t at = 0; at < stores.size(); at += 3) {
    for (uint64_t block = 0; block < stores[at + 2]; block++) {
      table.add(hashes[stores[at + 1] + block], static_cast<unsigned>(stores[at]));
    }
  }
  std::vector<Queries> kinds(head[3]);
  for (auto& kind : kinds) {
    read(file, &kind.blocks, 1);
    read(file, &kind.count, 1);
    kind.hashes.resize(kind.blocks * kind.count);
    read(file, kind.hashes.data(), kind.hashes.size());
    kind.depths.resize(kind.count * kWorkers);
    read(file, kind.depths.data(), kind.depths.size());
  }
  fclose(file);
  puts("ready");
  fflush(stdout);
  for (unsigned kind = 0; scanf("%u", &kind) == 1 && kind < kinds.size();) answer(table, kinds[kind]);
  return 0;
}
