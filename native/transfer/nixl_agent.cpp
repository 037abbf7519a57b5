#include "transfer/nixl_agent.h"

#include <algorithm>
#include <cstdlib>

#include "engine/failure.h"

namespace stator::nixl {
namespace {

/// Between two looks for notices.
constexpr std::chrono::microseconds kNoticePause{2'000};
/// A blob is a few hundred bytes, and some dozen more for each region.
constexpr size_t kMostMetadataBytes = size_t{1} << 20;

}  // namespace

Agent::Agent(std::shared_ptr<const Library> library, AgentOptions options, OnNotice onNotice)
    : library_(std::move(library)), options_(std::move(options)), onNotice_(std::move(onNotice)) {
  std::promise<void> opened;
  auto outcome = opened.get_future();
  // The thread owns it: who waits may be gone before the promise has been kept to its end.
  thread_ = std::thread([this, opened = std::move(opened)]() mutable { loop(opened); });
  try {
    outcome.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

void Agent::loop(std::promise<void>& opened) {
  try {
    core_ = std::make_unique<Core>(library_, options_);
    reader_ = std::make_unique<Reader>(*core_, options_);
    if (onNotice_ != nullptr) core_->api().create_notif_map(&notices_);
    opened.set_value();
  } catch (...) {
    opened.set_exception(std::current_exception());
    return;
  }
  std::unique_lock lock(mutex_);
  while (!quit_) {
    auto queue = std::exchange(queue_, {});
    lock.unlock();
    for (const auto& each : queue) each();
    const bool moved = reader_->advance();
    forgetUnused();
    if (onNotice_ != nullptr) takeNotices();
    const auto rest = pause();
    lock.lock();
    if (moved || quit_ || !queue_.empty()) continue;
    const auto isCalled = [this] { return quit_ || !queue_.empty(); };
    rest.has_value() ? (void)wake_.wait_for(lock, *rest, isCalled) : wake_.wait(lock, isCalled);
  }
  // Whoever waits for an answer gets one.
  const auto queue = std::exchange(queue_, {});
  lock.unlock();
  for (const auto& each : queue) each();
  shutDown();
}

std::optional<std::chrono::microseconds> Agent::pause() {
  const auto reading = reader_->pause();
  if (onNotice_ == nullptr) return reading;
  return reading.has_value() ? std::min(*reading, kNoticePause) : kNoticePause;
}

void Agent::shutDown() {
  reader_->fail("The agent was closed.", nullptr, 0);
  reader_->close();
  for (const auto& [id, region] : regions_) core_->unregister(region.second);
  for (const auto& [name, known] : remotes_) core_->api().invalidate_remote_md(core_->agent(), name.c_str());
  if (notices_ != nullptr) core_->api().destroy_notif_map(notices_);
  if (!core_->close()) {
    reader_->abandon();
    for (auto& [id, region] : regions_) new std::shared_ptr<transfer::Region>(std::move(region.first));
  }
  reader_.reset();
  regions_.clear();
  remotes_.clear();
}

void Agent::close() {
  const std::lock_guard once(closing_);
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  // Who listens may go before the last reference to the agent does.
  onNotice_ = nullptr;
}

bool Agent::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (quit_) return false;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

/// Runs work on the thread and waits for what it returns or throws.
template <typename Work>
auto Agent::call(Work work) -> decltype(work()) {
  const auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
  auto answer = task->get_future();
  if (!post([task] { (*task)(); })) throw Failure(Code::closed, "The agent was closed.");
  return answer.get();
}

uint64_t Agent::registerRegion(std::shared_ptr<transfer::Region> region) {
  return call([&] {
    const auto list = core_->registerMemory(region->data(), region->sizeBytes());
    regions_[nextRegion_] = {std::move(region), list};
    return nextRegion_++;
  });
}

void Agent::unregister(uint64_t id) {
  call([&] {
    const auto found = regions_.find(id);
    if (found == regions_.end()) return;
    core_->unregister(found->second.second);
    regions_.erase(found);
  });
}

std::vector<uint8_t> Agent::metadata() {
  return call([&] { return core_->metadata(); });
}

std::shared_ptr<Remote> Agent::openRemote(std::vector<uint8_t> metadata) {
  require(!metadata.empty() && metadata.size() <= kMostMetadataBytes, "NIXL metadata has 1 byte to 1 MiB.");
  return call([&] {
    char* text = nullptr;
    const int status = core_->api().load_remote_md(core_->agent(), metadata.data(), metadata.size(), &text);
    require(status == kOk && text != nullptr, "NIXL does not take the peer's metadata: " + sayStatus(status) + ".");
    const std::string name(text);
    std::free(text);
    require(name != options_.name, "The metadata is that of this process.");
    auto& known = remotes_[name];
    if (known.remote == nullptr || known.remote->isLost) {
      known = {std::make_shared<Remote>(Remote{.name = name}), known.uses};
    }
    known.uses++;
    return known.remote;
  });
}

void Agent::closeRemote(std::shared_ptr<Remote> remote, uint64_t address) {
  post([this, remote = std::move(remote), address] {
    reader_->fail("The peer's memory was closed.", remote.get(), address);
    const auto known = remotes_.find(remote->name);
    if (known != remotes_.end() && known->second.uses > 0) known->second.uses--;
  });
}

/// A peer is forgotten only when nothing comes from it any more: the library would call what is under way failed while
/// bytes may still arrive.
void Agent::forgetUnused() {
  std::erase_if(remotes_, [this](const auto& each) {
    const auto& [name, known] = each;
    if (known.uses > 0 || known.remote->requests > 0) return false;
    core_->api().invalidate_remote_md(core_->agent(), name.c_str());
    return true;
  });
}

void Agent::notify(const std::shared_ptr<Remote>& remote, std::vector<uint8_t> content) {
  call([&] {
    const int status = core_->api().gen_notif(core_->agent(), remote->name.c_str(), content.data(), content.size(),
                                              core_->args());
    if (status == kOk || status == kUnderWay) return;
    throw Failure(Code::unsupported, "NIXL could not notify " + remote->name + ": " + sayStatus(status) + ".");
  });
}

void Agent::takeNotices() {
  const auto& api = core_->api();
  if (api.get_notifs(core_->agent(), notices_, core_->args()) != kOk) return;
  size_t agents = 0;
  api.notif_map_size(notices_, &agents);
  if (agents == 0) return;
  for (size_t i = 0; i < agents; i++) {
    const char* name = nullptr;
    size_t count = 0;
    if (api.notif_map_get_agent_at(notices_, i, &name) != kOk) continue;
    api.notif_map_get_notifs_size(notices_, name, &count);
    for (size_t at = 0; at < count; at++) {
      const void* data = nullptr;
      size_t size = 0;
      if (api.notif_map_get_notif(notices_, name, at, &data, &size) != kOk) continue;
      const auto* bytes = static_cast<const uint8_t*>(data);
      onNotice_(name, {bytes, bytes + size});
    }
  }
  // The library adds to what is there.
  api.destroy_notif_map(notices_);
  api.create_notif_map(&notices_);
}

void Agent::read(std::shared_ptr<transfer::Job> job, std::shared_ptr<Remote> remote, uint64_t address) {
  const bool isPosted = post([this, job, remote = std::move(remote), address] {
    reader_->add(job, remote, address);
  });
  if (!isPosted) job->fail(0, "The agent was closed.");
}

void Agent::nudge() {
  post([] {});
}

}  // namespace stator::nixl
