#pragma once
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace stator {

/// Keeps the latest warnings and errors that the library wrote, and hands those of one call to whoever made it.
/// Nothing is printed. Safe from any thread.
class LibraryLog {
 public:
  /// Takes a piece of text as the library's log callback gets it: parts of a line may come one by one.
  void write(int level, const char* text);
  /// Takes all kept lines, oldest first.
  std::vector<std::string> drain();

  /// Collects the error lines of this thread while it lives.
  class Capture {
   public:
    Capture();
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    /// The error lines so far, joined into one line; `otherwise` if there are none.
    std::string text(const char* otherwise) const;

   private:
    friend class LibraryLog;
    std::string lines_;
    Capture* outer_;
  };

 private:
  static constexpr size_t kMaxLines = 256;
  std::mutex mutex_;
  std::deque<std::string> lines_;
};

}  // namespace stator
