#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/special.h"

namespace stator::text {

/// Remembers how texts begin and the tokens of that, so that a conversation which comes again with a new turn pays for
/// the turn alone. A beginning is a chain of chunks: each is found by the chunk before it and its own first bytes, and is
/// used only if all its bytes, and the content in them, are the same. Bounded in bytes: what was least recently used goes
/// first, the end of a beginning before its start. Any thread may use it.
class PrefixMemory {
 public:
  /// A chunk is at least so long, in bytes.
  static constexpr size_t kLeastChunk = 1024;

  explicit PrefixMemory(size_t mostBytes) : mostBytes_(mostBytes) {}

  /// How far a text is known.
  struct Known {
    /// Bytes of the text.
    size_t at = 0;
    /// The last chunk; 0 where nothing is known.
    uint64_t chunk = 0;
    /// What follows stands behind a special token, or begins the text.
    bool isFresh = true;
  };

  /// A chunk of a text that was encoded.
  struct Chunk {
    size_t start;
    size_t end;
    /// Bytes behind the end that must be the same too: of the character on which the cut depends.
    size_t ahead;
    /// What follows it stands behind a special token.
    bool isFresh;
  };

  /// Appends the tokens of the longest known beginning.
  Known find(std::string_view text, const Content& content, std::vector<uint32_t>& tokens);

  /// Remembers a chunk behind a known beginning, which it continues; answers the longer beginning. What continues a
  /// beginning that was forgotten meanwhile is not remembered.
  Known add(const Known& before, std::string_view text, const Content& content, const Chunk& chunk,
            const uint32_t* tokens, size_t count);

  /// What is remembered now.
  size_t memoryBytes() const;

 private:
  struct Entry {
    uint64_t key;
    uint64_t before;
    uint64_t self;
    /// With the bytes ahead.
    std::string text;
    size_t size;
    /// From the chunk's start.
    Content content;
    std::vector<uint32_t> tokens;
    bool isFresh;

    size_t bytes() const;
  };
  using Entries = std::list<Entry>;

  Entries::iterator lookUp(uint64_t key, const Known& known, std::string_view text, const Content& content);
  Entries::iterator behind(uint64_t chunk);
  void forget(Entries::iterator entry);

  const size_t mostBytes_;
  mutable std::mutex mutex_;
  /// Most recently used first, but each behind the one before it in its texts.
  Entries entries_;
  std::unordered_multimap<uint64_t, Entries::iterator> byKey_;
  std::unordered_map<uint64_t, Entries::iterator> bySelf_;
  size_t bytes_ = 0;
  uint64_t lastChunk_ = 0;
};

}  // namespace stator::text
