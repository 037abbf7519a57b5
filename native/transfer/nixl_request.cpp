#include "transfer/nixl_request.h"

namespace stator::nixl {

Request::Request(Core& core, const std::string& peer, const std::vector<Span>& from, uint8_t* to) : core_(core) {
  const auto& api = core.api();
  XferList_t local = nullptr;
  XferList_t remote = nullptr;
  if (api.create_xfer_dlist(kHostMemory, &local) == kOk && api.create_xfer_dlist(kHostMemory, &remote) == kOk) {
    auto at = reinterpret_cast<uintptr_t>(to);
    for (const auto& [address, bytes] : from) {
      api.xfer_dlist_add_desc(local, at, bytes, 0);
      api.xfer_dlist_add_desc(remote, address, bytes, 0);
      at += bytes;
    }
    status_ = api.create_xfer_req(core.agent(), kRead, local, remote, peer.c_str(), &request_, core.args());
    if (status_ == kOk) status_ = api.post_xfer_req(core.agent(), request_, nullptr);
  }
  if (local != nullptr) api.destroy_xfer_dlist(local);
  if (remote != nullptr) api.destroy_xfer_dlist(remote);
}

Request::~Request() {
  if (request_ == nullptr) return;
  core_.api().release_xfer_req(core_.agent(), request_);
  core_.api().destroy_xfer_req(request_);
}

int Request::poll() {
  if (!hasEnded()) status_ = core_.api().get_xfer_status(core_.agent(), request_);
  return status_;
}

}  // namespace stator::nixl
