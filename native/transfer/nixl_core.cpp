#include "transfer/nixl_core.h"

#include <cstdlib>

#include "engine/failure.h"

namespace stator::nixl {

std::string sayStatus(int status) {
  switch (status) {
    case kInvalid: return "an argument is not valid";
    case kBackend: return "the back end failed or the peer is gone";
    case kState: return "the state is wrong";
    case kNotFound: return "the peer or its memory is not known";
    default: return "status " + std::to_string(status);
  }
}

Core::Core(std::shared_ptr<const Library> library, const AgentOptions& options) : library_(std::move(library)) {
  // The library's own thread answers peers; without it they would wait for the next call from here.
  const AgentConfig config{
      .progressThread = true, .listenThread = false, .listenPort = 0, .sync = kStrictSync, .workers = 1,
      .progressDelayUs = 100, .listenDelayUs = 100'000, .telemetry = false};
  const int status = api().create_configured_agent(options.name.c_str(), &config, &agent_);
  if (status != kOk) throw Failure(Code::unsupported, "NIXL makes no agent: " + sayStatus(status) + ".");
  try {
    openBackend(options);
  } catch (...) {
    close();
    throw;
  }
}

void Core::openBackend(const AgentOptions& options) {
  const auto& name = options.backend;
  MemList_t kinds = nullptr;
  Params_t params = nullptr;
  int status = api().get_plugin_params(agent_, name.c_str(), &kinds, &params);
  if (status != kOk) throw Failure(Code::unsupported, "NIXL has no back end " + name + ": " + sayStatus(status) + ".");
  for (const auto& [key, value] : options.parameters) api().params_add(params, key.c_str(), value.c_str());
  status = api().create_backend(agent_, name.c_str(), params, &backend_);
  api().destroy_params(params);
  api().destroy_mem_list(kinds);
  if (status != kOk) throw Failure(Code::unsupported, "NIXL cannot use " + name + ": " + sayStatus(status) + ".");
  if (api().create_opt_args(&args_) != kOk || api().opt_args_add_backend(args_, backend_) != kOk) {
    throw Failure(Code::unsupported, "NIXL takes no arguments.");
  }
}

RegList_t Core::registerMemory(void* data, size_t sizeBytes) {
  RegList_t list = nullptr;
  int status = api().create_reg_dlist(kHostMemory, &list);
  if (status == kOk) {
    status = api().reg_dlist_add_desc(list, reinterpret_cast<uintptr_t>(data), sizeBytes, 0, nullptr, 0);
  }
  if (status == kOk) status = api().register_mem(agent_, list, args_);
  if (status == kOk) return list;
  if (list != nullptr) api().destroy_reg_dlist(list);
  throw Failure(Code::unsupported, "NIXL does not take the memory: " + sayStatus(status) + ".");
}

void Core::unregister(RegList_t list) {
  api().deregister_mem(agent_, list, args_);
  api().destroy_reg_dlist(list);
}

std::vector<uint8_t> Core::metadata() const {
  void* data = nullptr;
  size_t size = 0;
  const int status = api().get_local_md(agent_, &data, &size);
  if (status != kOk) throw Failure(Code::internal, "NIXL tells nothing of its memory: " + sayStatus(status) + ".");
  const auto* bytes = static_cast<const uint8_t*>(data);
  std::vector<uint8_t> blob(bytes, bytes + size);
  std::free(data);
  return blob;
}

bool Core::close() {
  if (agent_ == nullptr) return true;
  if (args_ != nullptr) api().destroy_opt_args(args_);
  // The first is a handle alone; the second ends the back end with all its threads.
  if (backend_ != nullptr) api().destroy_backend(backend_);
  const bool ended = api().destroy_agent(agent_) == kOk;
  agent_ = nullptr;
  args_ = nullptr;
  backend_ = nullptr;
  return ended;
}

}  // namespace stator::nixl
