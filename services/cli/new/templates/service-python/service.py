"""A Protobuf service that others find where the processes of Stator meet: python3 service.py HUB, as host:port."""

import random
import signal
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from stator.discovery.v1 import discovery_pb2 as discovery
from stator.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub

SERVICE = "words.v1.WordService"
TTL_MS = 10_000


def count(request: StringValue, _context: grpc.ServicerContext) -> Int64Value:
    return Int64Value(value=len(request.value.split()))


def serve() -> tuple[grpc.Server, str]:
    """Serves words.proto on a free port of this machine. Code that protoc makes of it does the same for larger contracts."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    method = grpc.unary_unary_rpc_method_handler(
        count, request_deserializer=StringValue.FromString, response_serializer=Int64Value.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Count": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


class Announcement:
    """Keeps a server on the list of a hub, under a lease, until it is closed or this process is gone."""

    def __init__(self, hub: str, address: str, services: list[str]) -> None:
        self._channel = grpc.insecure_channel(hub)
        self._hub = DiscoveryServiceStub(self._channel)
        self._facts = {
            "instance_id": random.getrandbits(63) + 1,
            "role": discovery.INSTANCE_ROLE_SERVICE,
            "state": discovery.INSTANCE_STATE_READY,
            "address": address,
            "services": services,
        }
        self._lease = 0
        self._over = threading.Event()
        self._publish()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _publish(self) -> None:
        self._lease = self._hub.GrantLease(discovery.GrantLeaseRequest(ttl_ms=TTL_MS), timeout=5).lease_id
        # Another incarnation for each lease: others may have taken the one before for dead.
        instance = discovery.InstanceRecord(incarnation=random.getrandbits(63) + 1, **self._facts)
        record = discovery.Record(key=f"instances/{instance.instance_id:016x}", instance=instance)
        self._hub.Put(discovery.PutRequest(lease_id=self._lease, records=[record]), timeout=5)

    def _keep(self) -> None:
        while not self._over.wait(TTL_MS / 3000):
            try:
                self._hub.KeepAlive(discovery.KeepAliveRequest(lease_id=self._lease), timeout=2)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    self._again()

    def _again(self) -> None:
        try:
            self._publish()
        except grpc.RpcError as error:
            print(f"not announced yet: {error.details()}", file=sys.stderr)

    def close(self) -> None:
        self._over.set()
        self._keeper.join()
        try:
            self._hub.RevokeLease(discovery.RevokeLeaseRequest(lease_id=self._lease), timeout=2)
        except grpc.RpcError:
            pass  # The lease ends by itself.
        self._channel.close()


def find(hub: str, service: str) -> list[str]:
    """Addresses of the servers that answer a service now."""
    with grpc.insecure_channel(hub) as channel:
        view = DiscoveryServiceStub(channel).List(discovery.ListRequest(prefix="instances"), timeout=5)
    instances = [record.instance for record in view.records]
    ready = [one for one in instances if one.state == discovery.INSTANCE_STATE_READY and service in one.services]
    return [one.address for one in ready]


def main() -> None:
    hub = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8005"
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    server, address = serve()
    announcement = Announcement(hub, address, [SERVICE])
    print(f"{SERVICE} on {address}. Ctrl-C ends it.", flush=True)
    over.wait()
    announcement.close()
    server.stop(grace=10).wait()


if __name__ == "__main__":
    main()
