"""The life of a worker: it registers with a hub, loads its model, serves, and drains when it is told to end."""

import argparse, asyncio, contextlib, re, secrets, signal

import grpc
from stator.discovery.v1 import discovery_pb2 as hub, discovery_pb2_grpc
from stator.worker.v1 import artifact_pb2, artifact_pb2_grpc

from engine import Engine

PLACES, LEASE_MS, DRAIN_SECONDS = 256, 10_000, 30  # requests at a time, silence until it is dead, time for what runs
LOADING, READY, DRAINING = hub.INSTANCE_STATE_LOADING, hub.INSTANCE_STATE_READY, hub.INSTANCE_STATE_DRAINING


def draw():
    return secrets.randbits(63) + 1


class Member(artifact_pb2_grpc.ArtifactServiceServicer):
    """What others know of this process, and what it serves its model with."""

    def __init__(self, model, make_engine):
        self.model, self.context, self.engine, self.address, self.services = model, make_engine.context, None, "", []
        self.instance, self.incarnation, self.state, self.changed = draw(), draw(), LOADING, asyncio.Event()
        self.open, self.on_change, self.artifacts = {}, set(), {}  # what runs, who hears of changes, tokenizer
        self.own = {"name": model, "instance_id": self.instance, "capabilities": {"generate": True}}
        self.card = hub.ModelCard(context_tokens=self.context, input=hub.MODEL_INPUT_TEXT, **self.own)

    @property
    def takes_text(self):  # else token ids of the tokenizer among its artifacts
        return self.card.input == hub.MODEL_INPUT_TEXT

    def enter(self, state):
        self.state = state
        self.changed.set()
        if state == DRAINING:
            self.tell(False)

    def tell(self, is_lapsed):
        for hear in list(self.on_change):
            hear(is_lapsed)

    def records(self):
        key, is_loading = f"{self.instance:016x}", self.state == LOADING
        instance = {"instance_id": self.instance, "incarnation": self.incarnation, "address": self.address, "ranks": 1,
                    "state": self.state, "services": self.services, "max_running_requests": PLACES, "engine": "mine",
                    "role": "INSTANCE_ROLE_WORKER", "models": [] if is_loading else [self.model]}
        segment = re.sub(rb"[^a-z0-9.-]", lambda found: b"_%02x" % found[0][0], self.model.encode()).decode()
        model = {"key": f"models/{segment}/{key}", "model": self.card}
        return [{"key": f"instances/{key}", "instance": instance}, *([] if is_loading else [model])]

    async def stay(self, address):
        """Keeps the records in the hub, under a lease that lives as long as this does."""
        async with grpc.aio.insecure_channel(address) as channel:
            store, lease = discovery_pb2_grpc.DiscoveryServiceStub(channel), 0
            try:
                while True:
                    try:
                        if not lease:
                            lease = (await store.GrantLease(hub.GrantLeaseRequest(ttl_ms=LEASE_MS))).lease_id
                            self.changed.set()
                        if self.changed.is_set():
                            self.changed.clear()
                            await store.Put(hub.PutRequest(lease_id=lease, records=self.records()))
                        await store.KeepAlive(hub.KeepAliveRequest(lease_id=lease))
                    except grpc.aio.AioRpcError as error:
                        print(f"The hub at {address} says: {error.details()}", flush=True)
                        await asyncio.sleep(0.5)
                        self.changed.set()
                        if error.code() == grpc.StatusCode.NOT_FOUND:  # it lapsed: others took this worker for dead
                            lease, self.incarnation = 0, draw()
                            self.tell(True)
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self.changed.wait(), LEASE_MS / 3_000)
            finally:
                if lease:
                    await store.RevokeLease(hub.RevokeLeaseRequest(lease_id=lease))

    async def stand_beside(self, model, address):
        """Takes the card of a worker that is there, with its tokenizer: requests come as its tokens then."""
        async with grpc.aio.insecure_channel(address) as channel:
            found = (await discovery_pb2_grpc.DiscoveryServiceStub(channel).List(hub.ListRequest())).records
        card = next((record.model for record in found if record.model.name == model), None)
        if not card:
            raise SystemExit(f"Nobody serves {model} at {address}: start its worker first.")
        place = next(record.instance.address for record in found if record.instance.instance_id == card.instance_id)
        async with grpc.aio.insecure_channel(place) as channel:
            fetch = artifact_pb2_grpc.ArtifactServiceStub(channel).Fetch
            for each in card.artifacts:
                pieces = [piece.data async for piece in fetch(artifact_pb2.FetchRequest(digest=each.digest))]
                self.artifacts[each.digest] = b"".join(pieces)
        for field in ("routing", "transfer", "time_prior", "tensor", "deterministic", "capabilities"):
            card.ClearField(field)
        card.MergeFrom(hub.ModelCard(**self.own))
        self.card, self.engine.vocabulary = card, 1 << 24
        self.engine.encode, self.engine.decode = lambda text: [], lambda ids: ""

    async def Fetch(self, request, context):
        if request.digest not in self.artifacts:
            await context.abort(grpc.StatusCode.NOT_FOUND, "It is not here.")
        for at in range(0, len(self.artifacts[request.digest]), 262_144):
            yield artifact_pb2.FetchResponse(data=self.artifacts[request.digest][at : at + 262_144])


async def run(make_worker, make_engine=Engine):
    """Serves until SIGTERM or SIGINT, and until what runs then has ended."""
    parser = argparse.ArgumentParser()
    for option, initial in ("model", "mine"), ("hub", ""), ("tokens-of", ""), ("host", "127.0.0.1"), ("port", "0"):
        parser.add_argument(f"--{option}", default=initial)
    options, told, loop = parser.parse_args(), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    member, server = Member(options.model, make_engine), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    member.address = f"{options.host}:{server.add_insecure_port(f'{options.host}:{options.port}')}"
    artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(member, server)
    make_worker(member).add(server)
    await server.start()
    print(f"{options.model} loads on {member.address}", flush=True)
    stay = asyncio.create_task(member.stay(options.hub)) if options.hub else None
    member.engine = await asyncio.to_thread(make_engine)
    if options.tokens_of:
        await member.stand_beside(options.tokens_of, options.hub)
    member.enter(READY)
    print(f"{options.model} is ready", flush=True)
    await told.wait()
    member.enter(DRAINING)
    until = loop.time() + DRAIN_SECONDS
    while member.open and loop.time() < until:
        await asyncio.sleep(0.02)
    if stay:
        stay.cancel()
        await asyncio.gather(stay, return_exceptions=True)
    await server.stop(1)
