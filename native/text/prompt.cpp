#include "text/prompt.h"

#include <algorithm>
#include <utility>

namespace stator::text {
namespace {

/// Bytes in which a place to cut plain text is looked for before the next special token is waited for.
constexpr size_t kCutSearch = 4096;

bool continuesCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

}  // namespace

PromptEncoder::PromptEncoder(std::unique_ptr<PlainEncoder> plain, Specials specials, Frame frame, size_t wordBytes)
    : plain_(std::move(plain)), specials_(std::move(specials)), frame_(frame), wordBytes_(wordBytes) {}

/// One text on its way through a lane, from cut to cut.
class PromptEncoder::Run {
 public:
  Run(PromptEncoder& owner, const Prompt& prompt, Encoding& encoding, Lane& lane)
      : owner_(owner), prompt_(prompt), encoding_(encoding), lane_(lane) {}

  void encode() {
    bool isFresh = prompt_.before != Before::plain;
    for (const auto& part : owner_.specials_.cut(prompt_.text, 0, prompt_.content)) {
      if (part.special == nullptr) {
        plain(part.start, part.end, isFresh);
        isFresh = false;
        continue;
      }
      encoding_.tokens.push_back(part.special->id);
      isFresh = true;
      // White space that the token eats belongs to what follows.
      if (part.end - lastCut() < kLeastChunk || part.special->stripsRight) continue;
      if (owner_.specials_.maySplit(prompt_.text, part.end)) cut(part.end, 0, Before::special);
    }
  }

 private:
  size_t lastCut() const { return encoding_.cuts.empty() ? 0 : encoding_.cuts.back().end; }

  void cut(size_t end, size_t ahead, Before before) {
    // Whether the frame begins the text is seen by the first token behind it.
    if (prompt_.before == Before::nothing && encoding_.tokens.size() < 2) return;
    encoding_.cuts.push_back({end, encoding_.tokens.size(), ahead, before});
  }

  void plain(size_t start, size_t end, bool isFresh) {
    auto& tokens = encoding_.tokens;
    for (size_t at = findCut(start, end); at < end; at = findCut(start, end)) {
      lane_.encode(prompt_.text.substr(start, at - start), isFresh, tokens);
      size_t ahead = 1;
      while (at + ahead < end && continuesCharacter(prompt_.text[at + ahead])) ahead++;
      cut(at, ahead, Before::plain);
      start = at;
      isFresh = false;
    }
    lane_.encode(prompt_.text.substr(start, end - start), isFresh, tokens);
  }

  /// Where plain text may be cut next; `end` where it may not.
  size_t findCut(size_t start, size_t end) const {
    const auto part = prompt_.text.substr(0, end).substr(start);
    const size_t least = std::max(start + 1, lastCut() + kLeastChunk);
    const size_t most = std::min(end, least + kCutSearch);
    for (size_t at = least; at < most; at++) {
      if (continuesCharacter(prompt_.text[at])) continue;
      if (owner_.plain_->maySplit(part, at - start) && owner_.specials_.maySplit(prompt_.text, at)) return at;
    }
    return end;
  }

  PromptEncoder& owner_;
  const Prompt& prompt_;
  Encoding& encoding_;
  Lane& lane_;
};

Encoding PromptEncoder::encode(const Prompt& prompt, std::vector<uint32_t> room) {
  Encoding encoding{std::move(room), {}};
  auto& tokens = encoding.tokens;
  tokens.clear();
  // A token stands for some four bytes.
  tokens.reserve(prompt.text.size() / 4 + 16);
  const bool begins = prompt.before == Before::nothing;
  if (begins && frame_.first) tokens.push_back(*frame_.first);
  auto lane = takeLane();
  Run(*this, prompt, encoding, *lane).encode();
  giveLane(std::move(lane));
  if (begins && prompt.isChat && frame_.first && tokens.size() > 1 && tokens[1] == *frame_.first) {
    tokens.erase(tokens.begin());
    for (auto& cut : encoding.cuts) cut.tokens--;
  }
  if (!prompt.isChat && frame_.last) tokens.push_back(*frame_.last);
  return encoding;
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
  size_t bytes = plain_->memoryBytes() + specials_.memoryBytes();
  const std::lock_guard lock(mutex_);
  for (const auto& lane : lanes_) bytes += lane->memoryBytes();
  return bytes;
}

}  // namespace stator::text
