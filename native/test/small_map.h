#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace stator::test {

/// Writes a precompiled character map as files have it, for tests.
class SmallMap {
 public:
  SmallMap& add(const std::string& key, const std::string& replacement) {
    entries_[key] = replacement;
    return *this;
  }

  std::string write() {
    units_.assign(kBlock, 0);
    used_.assign(kBlock, false);
    used_[0] = true;
    texts_.clear();
    units_[0] |= placeBelow(0, "") << 10;
    const auto size = static_cast<uint32_t>(units_.size() * sizeof(uint32_t));
    std::string out(sizeof size + size, '\0');
    std::memcpy(out.data(), &size, sizeof size);
    std::memcpy(out.data() + sizeof size, units_.data(), size);
    return out + texts_;
  }

 private:
  static constexpr uint32_t kBlock = 256;
  static constexpr uint32_t kEnds = 1 << 8;

  std::vector<uint8_t> labelsBelow(const std::string& prefix) const {
    std::vector<uint8_t> labels;
    for (const auto& [key, text] : entries_) {
      if (key.size() < prefix.size() || key.compare(0, prefix.size(), prefix) != 0) continue;
      const uint8_t label = key.size() == prefix.size() ? 0 : static_cast<uint8_t>(key[prefix.size()]);
      if (labels.empty() || labels.back() != label) labels.push_back(label);
    }
    return labels;
  }

  bool fits(uint32_t base, const std::vector<uint8_t>& labels) const {
    for (const uint8_t label : labels) {
      if (used_[base ^ label]) return false;
    }
    return true;
  }

  /// Places what follows a prefix, to which `unit` leads, and returns what its base is: the place XOR the unit's own.
  uint32_t placeBelow(uint32_t unit, const std::string& prefix) {
    const auto labels = labelsBelow(prefix);
    if (labels.empty()) return 0;
    uint32_t base = 1;
    // A place of its own for every prefix; blocks are many here, so the first that fits is soon found.
    while (base < units_.size() && (taken_[base] || !fits(base, labels))) base++;
    if (base >= units_.size()) {
      units_.resize(units_.size() + kBlock);
      used_.resize(units_.size());
    }
    taken_[base] = true;
    for (const uint8_t label : labels) used_[base ^ label] = true;
    for (const uint8_t label : labels) {
      const uint32_t at = base ^ label;
      if (label == 0) {
        units_[at] = 0x80000000 | static_cast<uint32_t>(texts_.size());
        texts_ += entries_.at(prefix) + '\0';
        continue;
      }
      const std::string longer = prefix + static_cast<char>(label);
      units_[at] |= label | (entries_.contains(longer) ? kEnds : 0) | placeBelow(at, longer) << 10;
    }
    return base ^ unit;
  }

  std::map<std::string, std::string> entries_;
  std::vector<uint32_t> units_;
  std::vector<bool> used_;
  std::map<uint32_t, bool> taken_;
  std::string texts_;
};

}  // namespace stator::test
