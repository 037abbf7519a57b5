// libnixl_capi.so without NIXL: the functions that we call, for agents of one machine. Bytes are read by process_vm_readv,
// notices are datagrams. It is stricter than the library where that helps a test: everything must be registered, and what
// is not taken back is reported at the agent's end. Parameters of the back end turn its faults on:
//   sim_delay_us    a transfer takes so long
//   sim_stall       transfers do not end before they are released, and their bytes come afterwards, if at all
//   sim_fail_at     the so-manieth transfer, from 1, fails halfway
//   sim_corrupt_at  in the so-manieth transfer a byte is wrong
//   sim_refuse      the back end cannot be made
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "transfer/nixl_api.h"

namespace stator::nixl {

struct SimSpan {
  uintptr_t address;
  size_t size;
};

/// What an agent tells others: `stator-sim 1 NAME PID COUNT ADDRESS SIZE …`.
struct SimPeer {
  std::string name;
  pid_t process = 0;
  std::vector<SimSpan> spans;
};

struct ParamsHandle {
  std::map<std::string, std::string> values;
};
struct MemListHandle {};
struct StringListHandle {
  std::vector<std::string> texts;
};
struct BackendHandle {
  std::string name;
};
struct OptArgsHandle {
  Backend_t backend = nullptr;
};
struct XferListHandle {
  std::vector<SimSpan> spans;
};
struct RegListHandle {
  std::vector<SimSpan> spans;
};
struct NotifMapHandle {
  std::vector<std::pair<std::string, std::vector<std::string>>> agents;
};

/// A transfer; the thread that runs it keeps it.
struct SimTransfer {
  pid_t process = 0;
  std::vector<SimSpan> from, to;
  std::atomic<int> status{kUnderWay};
  std::atomic<bool> isReleased{false};
  int number = 0;
};
struct XferReqHandle {
  std::shared_ptr<SimTransfer> transfer;
};

struct AgentHandle {
  std::string name;
  int socket = -1;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<SimTransfer>> queue;
  std::vector<SimSpan> spans;
  std::map<std::string, SimPeer> peers;
  std::map<std::string, std::string> faults;
  int transfers = 0;
  int requests = 0;
  bool quit = false;
  std::thread thread;
};

namespace {

bool contains(const std::vector<SimSpan>& all, const SimSpan& one) {
  return std::ranges::any_of(all, [&](const SimSpan& each) {
    return one.address >= each.address && one.address - each.address <= each.size &&
           one.size <= each.size - (one.address - each.address);
  });
}

sockaddr_un addressOf(const std::string& name, socklen_t& size) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "stator-nixl-sim-" + name;
  std::memcpy(address.sun_path + 1, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
  return address;
}

long fault(const AgentHandle& agent, const char* key) {
  const auto found = agent.faults.find(key);
  return found == agent.faults.end() ? 0 : std::strtol(found->second.c_str(), nullptr, 10);
}

/// Copies so many bytes of a transfer; false when the peer is gone.
bool copyBytes(const SimTransfer& transfer, size_t most) {
  size_t done = 0;
  for (size_t i = 0; i < transfer.from.size() && done < most; i++) {
    const size_t size = std::min(transfer.from[i].size, most - done);
    for (size_t at = 0; at < size;) {
      const iovec to{reinterpret_cast<char*>(transfer.to[i].address) + at, size - at};
      const iovec from{reinterpret_cast<char*>(transfer.from[i].address) + at, size - at};
      const ssize_t count = process_vm_readv(transfer.process, &to, 1, &from, 1, 0);
      if (count <= 0) return false;
      at += static_cast<size_t>(count);
    }
    done += size;
  }
  return true;
}

void runTransfer(AgentHandle& agent, SimTransfer& transfer) {
  size_t total = 0;
  for (const auto& each : transfer.from) total += each.size;
  const auto delay = std::chrono::microseconds(fault(agent, "sim_delay_us"));
  if (delay.count() > 0) std::this_thread::sleep_for(delay);
  if (fault(agent, "sim_stall") != 0) {
    std::unique_lock lock(agent.mutex);
    agent.wake.wait(lock, [&] { return agent.quit || transfer.isReleased; });
    // As a network card may: bytes come although nobody waits for them.
    if (!agent.quit) copyBytes(transfer, total);
    return;
  }
  const bool fails = fault(agent, "sim_fail_at") == transfer.number;
  const bool isRead = copyBytes(transfer, fails ? total / 2 : total);
  if (isRead && fault(agent, "sim_corrupt_at") == transfer.number) {
    reinterpret_cast<uint8_t*>(transfer.to[0].address)[transfer.to[0].size / 2] ^= 0x40;
  }
  transfer.status = isRead && !fails ? kOk : kBackend;
}

void loop(AgentHandle& agent) {
  std::unique_lock lock(agent.mutex);
  for (;;) {
    agent.wake.wait(lock, [&] { return agent.quit || !agent.queue.empty(); });
    if (agent.quit) return;
    const auto transfer = agent.queue.front();
    agent.queue.pop_front();
    lock.unlock();
    runTransfer(agent, *transfer);
    lock.lock();
  }
}

bool parse(const std::string& text, SimPeer& peer) {
  std::istringstream in(text);
  std::string mark;
  int version = 0;
  size_t count = 0;
  in >> mark >> version >> peer.name >> peer.process >> count;
  if (!in || mark != "stator-sim" || version != 1 || count > 1024) return false;
  for (size_t i = 0; i < count; i++) {
    SimSpan span{};
    in >> span.address >> span.size;
    peer.spans.push_back(span);
  }
  return static_cast<bool>(in);
}

}  // namespace
}  // namespace stator::nixl

using namespace stator::nixl;
#define STATOR_SIM extern "C" __attribute__((visibility("default")))

STATOR_SIM bool nixl_capi_is_stub() { return false; }

STATOR_SIM int nixl_capi_create_configured_agent(const char* name, const AgentConfig* config, Agent_t* agent) {
  if (name == nullptr || config == nullptr) return kInvalid;
  auto made = std::make_unique<AgentHandle>();
  made->name = name;
  made->socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  socklen_t size = 0;
  const auto address = addressOf(made->name, size);
  if (::bind(made->socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    ::close(made->socket);
    return kBackend;
  }
  auto* raw = made.release();
  raw->thread = std::thread([raw] { loop(*raw); });
  *agent = raw;
  return kOk;
}

STATOR_SIM int nixl_capi_destroy_agent(Agent_t agent) {
  {
    const std::lock_guard lock(agent->mutex);
    agent->quit = true;
  }
  agent->wake.notify_all();
  agent->thread.join();
  ::close(agent->socket);
  if (!agent->spans.empty() || agent->requests != 0) {
    std::fprintf(stderr, "nixl_sim: %s left %zu registrations and %d requests\n", agent->name.c_str(),
                 agent->spans.size(), agent->requests);
    std::abort();
  }
  delete agent;
  return kOk;
}

STATOR_SIM int nixl_capi_get_available_plugins(Agent_t, StringList_t* plugins) {
  *plugins = new StringListHandle{{"POSIX", "UCX"}};
  return kOk;
}
STATOR_SIM int nixl_capi_string_list_size(StringList_t list, size_t* size) {
  *size = list->texts.size();
  return kOk;
}
STATOR_SIM int nixl_capi_string_list_get(StringList_t list, size_t index, const char** text) {
  if (index >= list->texts.size()) return kInvalid;
  *text = list->texts[index].c_str();
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_string_list(StringList_t list) {
  delete list;
  return kOk;
}

STATOR_SIM int nixl_capi_get_plugin_params(Agent_t, const char* plugin, MemList_t* kinds, Params_t* params) {
  if (std::strcmp(plugin, "UCX") != 0 && std::strcmp(plugin, "POSIX") != 0) return kBackend;
  *kinds = new MemListHandle{};
  *params = new ParamsHandle{};
  return kOk;
}
STATOR_SIM int nixl_capi_params_add(Params_t params, const char* key, const char* value) {
  params->values[key] = value;
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_params(Params_t params) {
  delete params;
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_mem_list(MemList_t list) {
  delete list;
  return kOk;
}
STATOR_SIM int nixl_capi_create_backend(Agent_t agent, const char* plugin, Params_t params, Backend_t* backend) {
  if (params->values.contains("sim_refuse")) return kBackend;
  const std::lock_guard lock(agent->mutex);
  agent->faults = params->values;
  *backend = new BackendHandle{plugin};
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_backend(Backend_t backend) {
  delete backend;
  return kOk;
}
STATOR_SIM int nixl_capi_create_opt_args(OptArgs_t* args) {
  *args = new OptArgsHandle{};
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_opt_args(OptArgs_t args) {
  delete args;
  return kOk;
}
STATOR_SIM int nixl_capi_opt_args_add_backend(OptArgs_t args, Backend_t backend) {
  args->backend = backend;
  return kOk;
}

STATOR_SIM int nixl_capi_create_reg_dlist(int kind, RegList_t* list) {
  if (kind != kHostMemory) return kInvalid;
  *list = new RegListHandle{};
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_reg_dlist(RegList_t list) {
  delete list;
  return kOk;
}
STATOR_SIM int nixl_capi_reg_dlist_add_desc(RegList_t list, uintptr_t address, size_t size, uint64_t, const void*,
                                            size_t) {
  list->spans.push_back({address, size});
  return kOk;
}
STATOR_SIM int nixl_capi_register_mem(Agent_t agent, RegList_t list, OptArgs_t args) {
  if (args == nullptr || args->backend == nullptr) return kInvalid;
  const std::lock_guard lock(agent->mutex);
  agent->spans.insert(agent->spans.end(), list->spans.begin(), list->spans.end());
  return kOk;
}
STATOR_SIM int nixl_capi_deregister_mem(Agent_t agent, RegList_t list, OptArgs_t) {
  const std::lock_guard lock(agent->mutex);
  for (const auto& span : list->spans) {
    const auto found = std::ranges::find_if(
        agent->spans, [&](const SimSpan& each) { return each.address == span.address && each.size == span.size; });
    if (found == agent->spans.end()) return kNotFound;
    agent->spans.erase(found);
  }
  return kOk;
}

STATOR_SIM int nixl_capi_get_local_md(Agent_t agent, void** data, size_t* size) {
  const std::lock_guard lock(agent->mutex);
  std::ostringstream out;
  out << "stator-sim 1 " << agent->name << ' ' << getpid() << ' ' << agent->spans.size();
  for (const auto& span : agent->spans) out << ' ' << span.address << ' ' << span.size;
  const auto text = out.str();
  *data = std::malloc(text.size());
  std::memcpy(*data, text.data(), text.size());
  *size = text.size();
  return kOk;
}
STATOR_SIM int nixl_capi_load_remote_md(Agent_t agent, const void* data, size_t size, char** name) {
  SimPeer peer;
  if (!parse({static_cast<const char*>(data), size}, peer)) return kInvalid;
  *name = strdup(peer.name.c_str());
  const std::lock_guard lock(agent->mutex);
  agent->peers[peer.name] = std::move(peer);
  return kOk;
}
STATOR_SIM int nixl_capi_invalidate_remote_md(Agent_t agent, const char* name) {
  const std::lock_guard lock(agent->mutex);
  return agent->peers.erase(name) > 0 ? kOk : kNotFound;
}

STATOR_SIM int nixl_capi_create_xfer_dlist(int kind, XferList_t* list) {
  if (kind != kHostMemory) return kInvalid;
  *list = new XferListHandle{};
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_xfer_dlist(XferList_t list) {
  delete list;
  return kOk;
}
STATOR_SIM int nixl_capi_xfer_dlist_add_desc(XferList_t list, uintptr_t address, size_t size, uint64_t) {
  list->spans.push_back({address, size});
  return kOk;
}

STATOR_SIM int nixl_capi_create_xfer_req(Agent_t agent, int operation, XferList_t local, XferList_t remote,
                                         const char* name, XferReq_t* request, OptArgs_t) {
  const std::lock_guard lock(agent->mutex);
  const auto peer = agent->peers.find(name);
  if (peer == agent->peers.end() || operation != kRead) return kBackend;
  if (local->spans.size() != remote->spans.size() || local->spans.empty()) return kBackend;
  for (size_t i = 0; i < local->spans.size(); i++) {
    if (local->spans[i].size != remote->spans[i].size) return kBackend;
    if (!contains(agent->spans, local->spans[i]) || !contains(peer->second.spans, remote->spans[i])) return kBackend;
  }
  auto transfer = std::make_shared<SimTransfer>();
  transfer->process = peer->second.process;
  transfer->from = remote->spans;
  transfer->to = local->spans;
  agent->requests++;
  *request = new XferReqHandle{std::move(transfer)};
  return kOk;
}
STATOR_SIM int nixl_capi_post_xfer_req(Agent_t agent, XferReq_t request, OptArgs_t) {
  const std::lock_guard lock(agent->mutex);
  request->transfer->number = ++agent->transfers;
  agent->queue.push_back(request->transfer);
  agent->wake.notify_all();
  return kUnderWay;
}
STATOR_SIM int nixl_capi_get_xfer_status(Agent_t, XferReq_t request) { return request->transfer->status; }
STATOR_SIM int nixl_capi_release_xfer_req(Agent_t agent, XferReq_t request) {
  const std::lock_guard lock(agent->mutex);
  request->transfer->isReleased = true;
  request->transfer = nullptr;
  agent->requests--;
  agent->wake.notify_all();
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_xfer_req(XferReq_t request) {
  if (request->transfer != nullptr) return kState;
  delete request;
  return kOk;
}

STATOR_SIM int nixl_capi_gen_notif(Agent_t agent, const char* name, const void* data, size_t size, OptArgs_t) {
  const std::lock_guard lock(agent->mutex);
  if (!agent->peers.contains(name)) return kNotFound;
  std::string content = agent->name + '\0';
  content.append(static_cast<const char*>(data), size);
  socklen_t length = 0;
  const auto address = addressOf(name, length);
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  return ::sendto(agent->socket, content.data(), content.size(), 0, to, length) < 0 ? kBackend : kOk;
}
STATOR_SIM int nixl_capi_get_notifs(Agent_t agent, NotifMap_t map, OptArgs_t) {
  char buffer[1 << 16];
  for (;;) {
    const ssize_t size = ::recv(agent->socket, buffer, sizeof buffer, 0);
    if (size < 0) return kOk;
    const std::string content(buffer, static_cast<size_t>(size));
    const auto split = content.find('\0');
    const auto from = content.substr(0, split);
    auto found = std::ranges::find_if(map->agents, [&](const auto& each) { return each.first == from; });
    if (found == map->agents.end()) found = map->agents.insert(found, {from, {}});
    found->second.push_back(content.substr(split + 1));
  }
}
STATOR_SIM int nixl_capi_create_notif_map(NotifMap_t* map) {
  *map = new NotifMapHandle{};
  return kOk;
}
STATOR_SIM int nixl_capi_destroy_notif_map(NotifMap_t map) {
  delete map;
  return kOk;
}
STATOR_SIM int nixl_capi_notif_map_size(NotifMap_t map, size_t* size) {
  *size = map->agents.size();
  return kOk;
}
STATOR_SIM int nixl_capi_notif_map_get_agent_at(NotifMap_t map, size_t index, const char** name) {
  if (index >= map->agents.size()) return kInvalid;
  *name = map->agents[index].first.c_str();
  return kOk;
}
STATOR_SIM int nixl_capi_notif_map_get_notifs_size(NotifMap_t map, const char* name, size_t* size) {
  for (const auto& [agent, notices] : map->agents) {
    if (agent == name) *size = notices.size();
  }
  return kOk;
}
STATOR_SIM int nixl_capi_notif_map_get_notif(NotifMap_t map, const char* name, size_t index, const void** data,
                                             size_t* size) {
  for (const auto& [agent, notices] : map->agents) {
    if (agent != name || index >= notices.size()) continue;
    *data = notices[index].data();
    *size = notices[index].size();
    return kOk;
  }
  return kInvalid;
}
