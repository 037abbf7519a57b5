#include "transfer/nixl_source.h"

namespace stator::nixl {

void PeerSource::submit(std::shared_ptr<transfer::Job> job) {
  if (isClosed_) {
    job->fail(0, "The peer's memory was closed.");
  } else {
    agent_->read(std::move(job), remote_, address_);
  }
}

void PeerSource::close() {
  if (isClosed_) return;
  isClosed_ = true;
  agent_->closeRemote(remote_, address_);
}

}  // namespace stator::nixl
