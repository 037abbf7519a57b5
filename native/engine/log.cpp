#include "engine/log.h"

#include <utility>

namespace stator {
namespace {

constexpr int kWarning = 2;
constexpr int kError = 3;
constexpr int kContinue = 4;
constexpr size_t kMaxCapture = 2000;

thread_local LibraryLog::Capture* activeCapture = nullptr;
thread_local std::string partialLine;
thread_local int partialLevel = 0;

}  // namespace

LibraryLog::Capture::Capture() : outer_(activeCapture) { activeCapture = this; }

LibraryLog::Capture::~Capture() { activeCapture = outer_; }

std::string LibraryLog::Capture::text(const char* otherwise) const { return lines_.empty() ? otherwise : lines_; }

void LibraryLog::write(int level, const char* text) {
  if (level != kContinue) {
    partialLevel = level;
    partialLine.clear();
  }
  if (partialLevel < kWarning) return;
  partialLine += text;
  if (partialLine.empty() || partialLine.back() != '\n') return;
  while (!partialLine.empty() && (partialLine.back() == '\n' || partialLine.back() == ' ')) partialLine.pop_back();
  std::string line = std::exchange(partialLine, {});
  if (line.empty()) return;
  if (partialLevel >= kError && activeCapture != nullptr && activeCapture->lines_.size() < kMaxCapture) {
    if (!activeCapture->lines_.empty()) activeCapture->lines_ += "; ";
    activeCapture->lines_ += line;
  }
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
  if (lines_.size() > kMaxLines) lines_.pop_front();
}

std::vector<std::string> LibraryLog::drain() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> taken(std::make_move_iterator(lines_.begin()), std::make_move_iterator(lines_.end()));
  lines_.clear();
  return taken;
}

}  // namespace stator
