"""The worker of services/cli/new/templates/worker-python with one of ENGINE_FAULTS: faulty_worker.py --fault NAME …"""

import asyncio, pathlib, sys, time

TEMPLATE = pathlib.Path(__file__).parents[3] / "services/cli/new/templates/worker-python"
sys.path.insert(0, str(TEMPLATE))

from openengine.v1 import generation_pb2 as gen, lifecycle_pb2 as life

from engine import Engine
from member import DRAINING, READY, run
from worker import Worker

at = sys.argv.index("--fault")
FAULT = sys.argv[at + 1]
del sys.argv[at : at + 2]
KNOWN = """double-terminal token-after-terminal cumulative cancel-ignored cancel-ends-others usage-wrong event-gap
unknown-parent ids-as-doubles reply-after-drain ready-before-load error-without-detail deadline-ignored index-0-dropped
unbounded-buffer silent-truncation""".split()
if FAULT not in KNOWN:
    raise SystemExit(f"There is no fault {FAULT}: {', '.join(KNOWN)}.")


class FaultyEngine(Engine):
    def __init__(self):
        time.sleep(3 if FAULT == "ready-before-load" else 0)

    def decode(self, ids):  # what piles up is to pile up fast
        text = super().decode(ids)
        return "".join(letter * 2_000 for letter in text) if FAULT == "unbounded-buffer" else text


class Awake:
    """A member that is never seen to drain."""

    state = READY

    def __init__(self, member):
        self.member = member

    def __getattr__(self, name):
        return getattr(self.member, name)


class Mute:
    """A call that is refused without a word."""

    def __init__(self, context):
        self.context = context

    def __getattr__(self, name):
        return getattr(self.context, name)

    def abort(self, code, why):
        return self.context.abort(code, "")


class FaultyWorker(Worker):
    def __init__(self, member):
        super().__init__(member)
        self.real = member
        if FAULT == "reply-after-drain":
            self.member = Awake(member)

    async def Generate(self, request, context):
        if FAULT == "silent-truncation":
            request.stopping.max_tokens = min(100, request.stopping.max_tokens)
        if FAULT == "error-without-detail":
            context = Mute(context)
        answer = super().Generate(request, context)
        if FAULT == "unbounded-buffer":
            answer = hoard(answer)
        whole = gen.TokenOutput(output_index=0)
        try:
            async for message in answer:
                if FAULT == "cumulative" and message.HasField("token"):
                    whole.tokens.extend(message.token.tokens)
                    whole.text += message.token.text
                    message.token.CopyFrom(whole)
                for each in (message.token, message.finished) if FAULT == "index-0-dropped" else ():
                    if message.HasField("token") == (each is message.token):
                        each.ClearField("output_index")
                if FAULT == "usage-wrong" and message.HasField("usage"):
                    message.usage.completion_tokens += 1
                    message.usage.total_tokens += 1
                if FAULT == "double-terminal" and message.HasField("finished"):
                    yield gen.GenerateResponse(request_id=request.request_id, finished=message.finished)
                yield message
                if FAULT == "token-after-terminal" and message.HasField("finished"):
                    late = {"output_index": 0, "tokens": [{"token_id": 97}], "text": "a"}
                    yield gen.GenerateResponse(request_id=request.request_id, token=late)
        except (asyncio.CancelledError, GeneratorExit):
            left = context.time_remaining()
            is_late = left is not None and left < 0.05
            if FAULT == ("deadline-ignored" if is_late else "cancel-ignored"):
                self.open[f"{request.request_id} goes on"] = asyncio.get_running_loop().create_future()
            if FAULT == "cancel-ends-others":
                for gone in self.open.values():
                    gone.done() or gone.set_result(None)
            raise

    async def Health(self, request, context):
        answer = await super().Health(request, context)
        if FAULT == "reply-after-drain" and self.real.state == DRAINING:
            answer.state = life.HEALTH_STATE_DRAINING
        if FAULT == "ready-before-load" and not self.real.engine:
            answer.state = life.HEALTH_STATE_READY
        return answer

    async def SubscribeKvEvents(self, request, context):
        async for message in super().SubscribeKvEvents(request, context):
            if FAULT == "event-gap" and message.batch.sequence_number % 3 == 0:
                continue
            message = type(message).FromString(message.SerializeToString())  # others read the same one
            for event in message.batch.events:
                parent = event.block_stored.parent_block_hash
                if FAULT == "unknown-parent" and parent.value:
                    parent.value = bytes([parent.value[0] ^ 1]) + parent.value[1:]
                for named in event.block_stored.block_hashes if FAULT == "ids-as-doubles" else ():
                    rounded = int(float(int.from_bytes(named.value, "little"))) & (2**64 - 1)
                    named.value = rounded.to_bytes(8, "little")
            yield message


async def hoard(answer):
    """Everything as soon as it is there, however slowly it is taken."""
    queue, end = asyncio.Queue(), object()

    async def fill():
        async for message in answer:
            queue.put_nowait(message)
        queue.put_nowait(end)

    filling = asyncio.create_task(fill())
    try:
        while (message := await queue.get()) is not end:
            yield message
    finally:
        filling.cancel()


if __name__ == "__main__":
    asyncio.run(run(FaultyWorker, FaultyEngine))
