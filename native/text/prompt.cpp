#include "text/prompt.h"

#include <algorithm>
#include <utility>

namespace stator::text {
namespace {

/// Bytes in which a place to cut plain text is looked for before the next special token is waited for.
constexpr size_t kCutSearch = 4096;

bool continuesCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

}  // namespace

PromptEncoder::PromptEncoder(std::unique_ptr<PlainEncoder> plain, Specials specials, Frame frame, EncoderMemory memory)
    : plain_(std::move(plain)),
      specials_(std::move(specials)),
      frame_(frame),
      wordBytes_(memory.wordBytes),
      prefixes_(memory.prefixBytes) {}

/// One text on its way through a lane, chunk by chunk.
class PromptEncoder::Run {
 public:
  Run(PromptEncoder& owner, const Prompt& prompt, Encoding& encoding, Lane& lane)
      : owner_(owner),
        prompt_(prompt),
        tokens_(encoding.tokens),
        lane_(lane),
        known_(encoding.known),
        chunkToken_(encoding.tokens.size()) {}

  void encode() {
    bool isFresh = known_.isFresh;
    for (const auto& part : owner_.specials_.cut(prompt_.text, known_.at, prompt_.content)) {
      if (part.special == nullptr) {
        plain(part.start, part.end, isFresh);
        isFresh = false;
        continue;
      }
      tokens_.push_back(part.special->id);
      isFresh = true;
      const bool isLong = part.end - known_.at >= PrefixMemory::kLeastChunk;
      // White space that the token eats belongs to what follows.
      if (isLong && !part.special->stripsRight && owner_.specials_.maySplit(prompt_.text, part.end)) {
        remember({known_.at, part.end, 0, true});
      }
    }
  }

 private:
  void plain(size_t start, size_t end, bool isFresh) {
    for (size_t cut = findCut(start, end); cut < end; cut = findCut(start, end)) {
      lane_.encode(prompt_.text.substr(start, cut - start), isFresh, tokens_);
      size_t ahead = 1;
      while (cut + ahead < end && continuesCharacter(prompt_.text[cut + ahead])) ahead++;
      remember({known_.at, cut, ahead, false});
      start = cut;
      isFresh = false;
    }
    lane_.encode(prompt_.text.substr(start, end - start), isFresh, tokens_);
  }

  /// Where plain text may end a chunk; `end` where it may not.
  size_t findCut(size_t start, size_t end) const {
    const auto part = prompt_.text.substr(0, end).substr(start);
    const size_t least = std::max(start + 1, known_.at + PrefixMemory::kLeastChunk);
    const size_t most = std::min(end, least + kCutSearch);
    for (size_t at = least; at < most; at++) {
      if (continuesCharacter(prompt_.text[at])) continue;
      if (owner_.plain_->maySplit(part, at - start) && owner_.specials_.maySplit(prompt_.text, at)) return at;
    }
    return end;
  }

  void remember(const PrefixMemory::Chunk& chunk) {
    known_ = owner_.prefixes_.add(known_, prompt_.text, prompt_.content, chunk, tokens_.data() + chunkToken_,
                                  tokens_.size() - chunkToken_);
    chunkToken_ = tokens_.size();
  }

  PromptEncoder& owner_;
  const Prompt& prompt_;
  std::vector<uint32_t>& tokens_;
  Lane& lane_;
  PrefixMemory::Known known_;
  /// The first token behind what is known.
  size_t chunkToken_;
};

Encoding PromptEncoder::begin(const Prompt& prompt, std::vector<uint32_t> room) {
  Encoding encoding{{}, std::move(room)};
  encoding.tokens.clear();
  // A token stands for some four bytes.
  encoding.tokens.reserve(prompt.text.size() / 4 + 16);
  if (frame_.first) encoding.tokens.push_back(*frame_.first);
  encoding.known = prefixes_.find(prompt.text, prompt.content, encoding.tokens);
  return encoding;
}

std::vector<uint32_t> PromptEncoder::finish(const Prompt& prompt, Encoding encoding) {
  auto lane = takeLane();
  Run(*this, prompt, encoding, *lane).encode();
  giveLane(std::move(lane));
  auto& tokens = encoding.tokens;
  if (prompt.isChat && frame_.first && tokens.size() > 1 && tokens[1] == *frame_.first) tokens.erase(tokens.begin());
  if (!prompt.isChat && frame_.last) tokens.push_back(*frame_.last);
  return std::move(tokens);
}

std::unique_ptr<Lane> PromptEncoder::takeLane() {
  const std::lock_guard lock(mutex_);
  if (lanes_.empty()) return plain_->lane(wordBytes_);
  auto lane = std::move(lanes_.back());
  lanes_.pop_back();
  return lane;
}

void PromptEncoder::giveLane(std::unique_ptr<Lane> lane) {
  const std::lock_guard lock(mutex_);
  lanes_.push_back(std::move(lane));
}

size_t PromptEncoder::memoryBytes() const {
  size_t bytes = plain_->memoryBytes() + specials_.memoryBytes() + prefixes_.memoryBytes();
  const std::lock_guard lock(mutex_);
  for (const auto& lane : lanes_) bytes += lane->memoryBytes();
  return bytes;
}

}  // namespace stator::text
