#pragma once
#include <memory>

#include "transfer/job.h"
#include "transfer/nixl_agent.h"

namespace stator::nixl {

/// Memory of a peer that NIXL reads.
class PeerSource : public transfer::Source {
 public:
  PeerSource(std::shared_ptr<Agent> agent, std::shared_ptr<Remote> remote, uint64_t address, size_t sizeBytes)
      : Source(sizeBytes), agent_(std::move(agent)), remote_(std::move(remote)), address_(address) {}
  ~PeerSource() override { PeerSource::close(); }

  void submit(std::shared_ptr<transfer::Job> job) override;
  void nudge(const std::shared_ptr<transfer::Job>&) override { agent_->nudge(); }
  void close() override;
  const std::shared_ptr<Remote>& remote() const { return remote_; }

 private:
  const std::shared_ptr<Agent> agent_;
  const std::shared_ptr<Remote> remote_;
  const uint64_t address_;
  bool isClosed_ = false;
};

}  // namespace stator::nixl
