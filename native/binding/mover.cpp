#include "binding/mover.h"

#include <utility>

#include "binding/addon_data.h"
#include "transfer/memory_source.h"

namespace stator::binding {

using namespace transfer;

MoverState::MoverState(Napi::Env env, size_t copyThreads, const ServerLimits& limits)
    : env_(env), reactor_(dataOf(env).reactor), limits_(limits), threads_(copyThreads) {
  reactor_.enlist(this);
}

MoverState::~MoverState() {
  stopForExit();
  reactor_.dismiss(this);
}

void MoverState::begin() {
  reactor_.hold();
  self_ = shared_from_this();
}

void MoverState::finish() {
  reactor_.release();
  if (pending_.empty() && connecting_.empty()) self_ = nullptr;
}

void MoverState::close() {
  closed_ = true;
  stopForExit();
  sources_.clear();
}

void MoverState::stopForExit() {
  closed_ = true;
  sockets_.clear();
  client_.stop();
  for (const auto& agent : agents_) agent->close();
  threads_.stop();
}

void MoverState::keepNixl(std::shared_ptr<nixl::Agent> agent) {
  if (closed_) {
    agent->close();
  } else {
    agents_.push_back(std::move(agent));
  }
}

std::shared_ptr<Region> MoverState::openRegion(size_t sizeBytes) {
  auto region = Region::open(nextId_++, sizeBytes);
  regions_.add(region);
  return region;
}

std::shared_ptr<Region> MoverState::region(uint32_t id) const {
  auto found = regions_.find(id);
  require(found != nullptr, "There is no region " + std::to_string(id) + ".");
  return found;
}

void MoverState::closeRegion(uint32_t id) {
  const auto found = region(id);
  for (const auto& [job, each] : pending_) {
    const bool uses = each.job->order().to == found || each.source->region() == found;
    require(!uses, "Copies out of the region or into it are under way.");
  }
  regions_.remove(id);
  found->giveBack();
}

uint32_t MoverState::addSource(std::shared_ptr<Source> source) {
  const uint32_t id = nextId_++;
  sources_.emplace(id, std::move(source));
  return id;
}

std::shared_ptr<Source> MoverState::source(uint32_t id, bool isRegion) {
  if (isRegion) return std::make_shared<OwnSource>(region(id), threads_);
  const auto found = sources_.find(id);
  require(found != sources_.end(), "There is no memory of others " + std::to_string(id) + ".");
  return found->second;
}

void MoverState::closeSource(uint32_t id) {
  const auto found = sources_.find(id);
  if (found == sources_.end()) return;
  found->second->close();
  sources_.erase(found);
}

uint32_t MoverState::listen(const std::string& host, uint16_t port) {
  auto socket = std::make_unique<PayloadServer>(host, port, regions_, limits_);
  const uint32_t id = nextId_++;
  sockets_.emplace(id, std::move(socket));
  return id;
}

Napi::Value MoverState::connect(const SocketAddress& address, const Hello& hello, Clock::time_point deadline) {
  const uint32_t id = nextId_++;
  const auto deferred = Napi::Promise::Deferred::New(env_);
  connecting_.emplace(id, deferred);
  begin();
  // Threads hold no reference: the last one has to go on the event loop, which joins them.
  auto told = [&reactor = reactor_, weak = weak_from_this(), id](std::shared_ptr<Source> source,
                                                                 const std::string& reason) {
    reactor.deliver([weak, id, source = std::move(source), reason](Napi::Env) {
      if (const auto self = weak.lock()) self->connected(id, source, reason);
    });
  };
  client_.connect(address, hello, deadline, std::move(told));
  return deferred.Promise();
}

void MoverState::connected(uint32_t id, const std::shared_ptr<Source>& source, const std::string& reason) {
  const auto keep = shared_from_this();
  const auto found = connecting_.find(id);
  if (found == connecting_.end()) return;
  const auto deferred = found->second;
  connecting_.erase(found);
  finish();
  if (source != nullptr && !closed_) {
    deferred.Resolve(Napi::Number::New(env_, addSource(source)));
  } else {
    deferred.Reject(toError(env_, Code::unsupported, closed_ ? "The mover was closed." : reason).Value());
  }
}

uint32_t MoverState::copy(std::shared_ptr<Source> source, CopyOrder order, const Napi::Function& done) {
  const uint32_t id = nextId_++;
  auto told = [&reactor = reactor_, weak = weak_from_this(), id](CopyResult result) {
    reactor.deliver([weak, id, result = std::move(result)](Napi::Env) {
      if (const auto self = weak.lock()) self->settle(id, result);
    });
  };
  auto job = std::make_shared<Job>(std::move(order), std::move(told));
  pending_.emplace(id, Pending{job, source, Napi::Persistent(done)});
  begin();
  source->submit(std::move(job));
  return id;
}

void MoverState::cancel(uint32_t id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  found->second.job->cancel();
  found->second.source->nudge(found->second.job);
}

void MoverState::settle(uint32_t id, const CopyResult& result) {
  const auto keep = shared_from_this();
  auto node = pending_.extract(id);
  if (node.empty()) return;
  finish();
  const auto number = [&](double value) { return Napi::Number::New(env_, value); };
  node.mapped().done.Call({Napi::String::New(env_, statusName(result.status)),
                           number(static_cast<double>(result.copied)), Napi::String::New(env_, result.reason),
                           number(static_cast<double>(result.durationUs)), number(result.passes)});
}

}  // namespace stator::binding
