#pragma once
#include <cstddef>
#include <cstdint>

/// What we call of libnixl_capi.so, declared by us: NIXL installs no header of it. Tried with 1.5.1; the functions are in
/// every release since 1.0.0. Each lies in the library as `nixl_capi_` and its name.
namespace stator::nixl {

/// What a call says. It tells little: a lost peer and a wrong descriptor are both `backend`.
enum Status : int {
  kOk = 0,
  kUnderWay = 1,
  kInvalid = -1,
  kBackend = -2,
  kState = -3,
  kException = -4,
  kNoTelemetry = -5,
  kNotFound = -6,
};

/// Memory of a host, the only kind that is moved here.
constexpr int kHostMemory = 0;
/// Bytes come from the peer.
constexpr int kRead = 0;
/// Calls from several threads lock each other out.
constexpr int kStrictSync = 1;

struct AgentConfig {
  bool progressThread;
  bool listenThread;
  int listenPort;
  int sync;
  unsigned workers;
  uint64_t progressDelayUs;
  uint64_t listenDelayUs;
  bool telemetry;
};

/// Things of the library, known by pointer alone.
using Agent_t = struct AgentHandle*;
using Params_t = struct ParamsHandle*;
using MemList_t = struct MemListHandle*;
using StringList_t = struct StringListHandle*;
using Backend_t = struct BackendHandle*;
using OptArgs_t = struct OptArgsHandle*;
using XferList_t = struct XferListHandle*;
using RegList_t = struct RegListHandle*;
using XferReq_t = struct XferReqHandle*;
using NotifMap_t = struct NotifMapHandle*;

/// X(result, name, arguments). Memory that comes through a `void**` or `char**` is the caller's to free.
#define STATOR_NIXL_FUNCTIONS(X)                                                                             \
  X(bool, is_stub, ())                                                                                       \
  X(int, create_configured_agent, (const char* name, const AgentConfig* config, Agent_t* agent))            \
  X(int, destroy_agent, (Agent_t agent))                                                                     \
  X(int, get_available_plugins, (Agent_t agent, StringList_t* plugins))                                      \
  X(int, string_list_size, (StringList_t list, size_t* size))                                                \
  X(int, string_list_get, (StringList_t list, size_t index, const char** text))                              \
  X(int, destroy_string_list, (StringList_t list))                                                           \
  X(int, get_plugin_params, (Agent_t agent, const char* plugin, MemList_t* kinds, Params_t* params))        \
  X(int, params_add, (Params_t params, const char* key, const char* value))                                  \
  X(int, destroy_params, (Params_t params))                                                                  \
  X(int, destroy_mem_list, (MemList_t list))                                                                 \
  X(int, create_backend, (Agent_t agent, const char* plugin, Params_t params, Backend_t* backend))          \
  X(int, destroy_backend, (Backend_t backend))                                                               \
  X(int, create_opt_args, (OptArgs_t* args))                                                                 \
  X(int, destroy_opt_args, (OptArgs_t args))                                                                 \
  X(int, opt_args_add_backend, (OptArgs_t args, Backend_t backend))                                          \
  X(int, create_reg_dlist, (int kind, RegList_t* list))                                                      \
  X(int, destroy_reg_dlist, (RegList_t list))                                                                \
  X(int, reg_dlist_add_desc,                                                                                 \
    (RegList_t list, uintptr_t address, size_t size, uint64_t device, const void* meta, size_t metaSize))   \
  X(int, register_mem, (Agent_t agent, RegList_t list, OptArgs_t args))                                      \
  X(int, deregister_mem, (Agent_t agent, RegList_t list, OptArgs_t args))                                    \
  X(int, get_local_md, (Agent_t agent, void** data, size_t* size))                                           \
  X(int, load_remote_md, (Agent_t agent, const void* data, size_t size, char** name))                       \
  X(int, invalidate_remote_md, (Agent_t agent, const char* name))                                            \
  X(int, create_xfer_dlist, (int kind, XferList_t* list))                                                    \
  X(int, destroy_xfer_dlist, (XferList_t list))                                                              \
  X(int, xfer_dlist_add_desc, (XferList_t list, uintptr_t address, size_t size, uint64_t device))           \
  X(int, create_xfer_req,                                                                                    \
    (Agent_t agent, int operation, XferList_t local, XferList_t remote, const char* name, XferReq_t* request, \
     OptArgs_t args))                                                                                        \
  X(int, post_xfer_req, (Agent_t agent, XferReq_t request, OptArgs_t args))                                  \
  X(int, get_xfer_status, (Agent_t agent, XferReq_t request))                                                \
  X(int, release_xfer_req, (Agent_t agent, XferReq_t request))                                               \
  X(int, destroy_xfer_req, (XferReq_t request))                                                              \
  X(int, gen_notif, (Agent_t agent, const char* name, const void* data, size_t size, OptArgs_t args))       \
  X(int, get_notifs, (Agent_t agent, NotifMap_t map, OptArgs_t args))                                        \
  X(int, create_notif_map, (NotifMap_t * map))                                                               \
  X(int, destroy_notif_map, (NotifMap_t map))                                                                \
  X(int, notif_map_size, (NotifMap_t map, size_t* size))                                                     \
  X(int, notif_map_get_agent_at, (NotifMap_t map, size_t index, const char** name))                          \
  X(int, notif_map_get_notifs_size, (NotifMap_t map, const char* name, size_t* size))                        \
  X(int, notif_map_get_notif, (NotifMap_t map, const char* name, size_t index, const void** data, size_t* size))

/// The library's functions.
struct Api {
#define STATOR_NIXL_MEMBER(result, name, arguments) result(*name) arguments = nullptr;
  STATOR_NIXL_FUNCTIONS(STATOR_NIXL_MEMBER)
#undef STATOR_NIXL_MEMBER
};

}  // namespace stator::nixl
