"""Serves the model of engine.py over Stator's link, and as openengine.v1: python3 link_worker.py --hub HOST:PORT"""

import asyncio, struct, time
from collections import deque

import grpc
from stator.worker.v1 import link_pb2 as wire, link_pb2_grpc

from member import DRAINING, PLACES, READY, run
from worker import Worker, answer

MOST_MESSAGE, MOST_INPUT, MOST_WAITING, MOST_PINGS = 262_144, 16_777_216, 67_108_864, 64  # bytes, and a number
NEVER, BACKOFF, ELSEWHERE, CALLER, SERVER = 1, 2, 3, 1, 2  # stator.common.v1.Retry and Blame
REASONS = {  # of Stator's table: gRPC code, HTTP status, when to try again, whose fault it is
    "INVALID_ARGUMENT": (3, 400, NEVER, CALLER), "MODEL_NOT_FOUND": (5, 404, NEVER, CALLER),
    "UNSUPPORTED_FEATURE": (12, 400, NEVER, CALLER), "OVERLOADED": (8, 429, ELSEWHERE, SERVER),
    "DRAINING": (14, 503, ELSEWHERE, SERVER), "MODEL_LOADING": (14, 503, BACKOFF, SERVER),
    "ENGINE_FAILED": (13, 500, ELSEWHERE, SERVER), "DEADLINE": (4, 504, BACKOFF, SERVER),
}  # fmt: skip


class Violation(Exception):
    """What ends a link."""


def numbers(data):
    if len(data) % 4:
        raise Violation("An array is torn.")
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def packed(values):
    return struct.pack(f"<{len(values)}I", *values)


class Run:
    """A request that the engine has."""

    def __init__(self, link, submit, tokens, so_far, cached):
        self.link, self.submit, self.prompt, self.made, self.cached = link, submit, len(tokens), len(so_far), cached
        self.name, self.timer = (id(link), submit.handle), None
        sampling, stopping, engine = submit.sampling, submit.stopping, link.member.engine
        self.is_text = bool(submit.prompt_text)
        is_greedy = sampling.temperature == 0 or sampling.top_k == 1
        seed = 0 if is_greedy else hash((sampling.seed, submit.choice))
        most = min(stopping.max_tokens - self.made, link.member.context - len(tokens) - self.made)
        bounds = {"least": stopping.min_tokens - self.made, "most": most, "stop_ids": numbers(stopping.stop_token_ids)}
        bounds |= {"decode": engine.decode} if self.is_text else {}
        self.parts = answer(engine, tokens + so_far, sampling, seed, **bounds)
        if submit.HasField("deadline_ms"):
            late = {"reason": "DEADLINE", "deadlineMs": str(submit.deadline_ms)}
            self.timer = asyncio.get_running_loop().call_later(submit.deadline_ms / 1_000, lambda: self.end(**late))
        self.task = asyncio.create_task(self.serve())

    async def serve(self):
        try:
            async for ids, text, end in self.parts:
                self.made += len(ids)
                if self.is_text and text:
                    self.link.say("text", {"handle": self.submit.handle, "text": text}, 16 + len(text))
                for token in [] if self.is_text else ids:
                    self.link.say("token", (self.submit.handle, token))
            match = end.get("stop_match", {})
            how = wire.FINISH_REASON_LENGTH if end["reason"] == "FINISH_REASON_LENGTH" else wire.FINISH_REASON_END
            self.end(how if not match else wire.FINISH_REASON_STOP_TOKEN, stop=match)
        except Exception as error:
            self.end(reason="ENGINE_FAILED", detail=str(error))

    def end(self, how=0, reason="", stop={}, **facts):
        """Says its Finish, and gives its place free."""
        if self.link.runs.pop(self.submit.handle, None):
            counts = {"prompt_tokens": self.prompt, "cached_tokens": self.cached, "completion_tokens": self.made}
            self.link.finish(self.submit.handle, reason, facts, finish_reason=how, **counts, **stop)
            self.close()

    def close(self):
        self.link.member.open.pop(self.name, None)
        if self.timer:
            self.timer.cancel()
        if self.task is not asyncio.current_task():
            self.task.cancel()


class Link:
    """One caller. What is said in a turn of the event loop leaves as one message, in order."""

    def __init__(self, worker):
        self.worker, self.member, self.runs, self.gathering, self.features = worker, worker.member, {}, {}, None
        self.outbox, self.waiting, self.news, self.step, self.since = deque(), 0, asyncio.Event(), 0, 0
        self.is_leaving, self.is_over, self.error = False, False, None

    def say(self, kind, value, size=16):
        self.outbox.append((kind, value, size))
        self.waiting += size
        if self.waiting > MOST_WAITING:
            self.stop("The caller does not read.")
        self.news.set()

    def stop(self, error=None):
        self.is_over, self.error = True, self.error or error
        self.news.set()

    def finish(self, handle, reason="", facts={}, finish_reason=0, **counts):
        error = None
        if reason:
            code, status, retry, blame = REASONS[reason]
            error = {"reason": reason, "grpc_code": code, "http_status": status, "retry": retry, "blame": blame}
            error |= {"facts": facts, "message": f"{reason}: {' '.join(facts.values())}"}
        self.say("finish", wire.Finish(handle=handle, reason=finish_reason, error=error, **counts), 256)

    def message(self):
        """As much of what waits as fits."""
        told, size = {kind: [] for kind in ("welcome", "accepted", "token", "text", "finish", "notice", "pong")}, 0
        while self.outbox and size < MOST_MESSAGE // 2 and not told["pong"]:
            kind, value, length = self.outbox.popleft()
            told[kind].append(value)
            size += length
        self.waiting, now = self.waiting - size, time.monotonic_ns()
        handles, ids = zip(*told["token"]) if told["token"] else ((), ())
        taken, cached, computed = zip(*told["accepted"]) if told["accepted"] else ((), (), ())
        step = {"handles": packed(handles), "tokens": packed(ids), "texts": told["text"], "finishes": told["finish"]}
        step |= {"prefill_tokens": sum(computed), "decode_sequences": len(ids) + len(told["text"])}
        if ids or computed or told["text"]:
            self.step += 1
            step |= {"step": self.step, "duration_us": max(1, (now - self.since) // 1_000)}
            self.since = now
        accepted = {"handles": packed(taken), "cached_tokens": packed(cached), "queued_ahead": bytes(4 * len(taken))}
        first = {key: told[key][0] for key in ("welcome", "notice", "pong") if told[key]}
        step["running_requests"] = len(self.member.open)
        is_step = told["token"] or told["text"] or told["finish"] or taken
        return wire.LinkResponse(step=step if is_step else None, accepted=accepted if taken else None, **first)

    def hear(self, request):
        if request.ByteSize() > MOST_MESSAGE or request.HasField("hello") != (self.features is None):
            raise Violation("A message is too long, or Hello is not the first message alone.")
        if request.HasField("hello"):
            self.greet(request.hello)
        for submit in request.submits:
            if not submit.handle or self.is_leaving or submit.handle in self.runs or submit.handle in self.gathering:
                raise Violation("A handle is 0 or open, or Goodbye was said.")
            self.gathering[submit.handle] = submit
            self.gathered(submit.handle, 0, not submit.more_input)
        for part in request.parts:
            if part.handle in self.runs:
                raise Violation("There is more of a request that was complete.")
            submit = self.gathering.get(part.handle)
            if submit:
                submit.prompt_token_ids += part.prompt_token_ids
                submit.prompt_text += part.prompt_text
                submit.generated_token_ids += part.generated_token_ids
                self.gathered(part.handle, submit.ByteSize(), part.last)
        for cancel in request.cancels:
            for handle in numbers(cancel.handles):
                if handle in self.runs:
                    self.runs[handle].end(wire.FINISH_REASON_CANCELLED)
                elif self.gathering.pop(handle, None):
                    self.finish(handle, finish_reason=wire.FINISH_REASON_CANCELLED)
        if request.HasField("ping"):
            if sum(kind == "pong" for kind, _, _ in self.outbox) >= MOST_PINGS:
                raise Violation("Too many pings.")
            self.say("pong", {"nonce": request.ping.nonce})
        if request.HasField("goodbye"):
            if self.is_leaving:
                raise Violation("Goodbye was said before.")
            self.is_leaving = True

    def greet(self, hello):
        if not hello.minimum_revision <= 1 <= hello.maximum_revision:
            raise Violation("This worker speaks revision 1 of the link.")
        self.features = [feature for feature in hello.features if feature == "parts"]
        member = self.member
        self.say("welcome", {
            "revision": 1, "instance_id": member.instance, "incarnation": member.incarnation, "ranks": 1,
            "models": [member.model], "max_running_requests": PLACES, "max_message_bytes": MOST_MESSAGE,
            "features": self.features, "draining": member.state == DRAINING,
        })  # fmt: skip

    def gathered(self, handle, size, is_last):
        """A request is complete, or what there is of it may be too much."""
        if size > MOST_INPUT:
            return self.refuse(handle, "INVALID_ARGUMENT", detail=f"The request is longer than {MOST_INPUT} bytes")
        if not is_last and sum(each.ByteSize() + 1_024 for each in self.gathering.values()) > MOST_WAITING:
            return self.refuse(handle, "OVERLOADED", what="requests in parts")
        if is_last:
            self.take(handle, self.gathering[handle])

    def refuse(self, handle, reason, **facts):
        self.gathering.pop(handle)
        self.finish(handle, reason, facts)

    def take(self, handle, submit):
        member, engine = self.member, self.member.engine
        lacks = {"prefill": submit.kind == wire.REQUEST_KIND_PREFILL, "encode": submit.kind == wire.REQUEST_KIND_ENCODE,
                 "score": submit.kind == wire.REQUEST_KIND_SCORE, "embed": submit.kind == wire.REQUEST_KIND_EMBED,
                 "session": submit.HasField("session"), "room": submit.HasField("room"), "media": submit.media,
                 "engine_extras": submit.engine_extras, "guidance": submit.guidance.ByteSize(),
                 "logprobs": submit.outputs.logprobs}  # fmt: skip
        for feature, is_asked in lacks.items():
            if is_asked:
                return self.refuse(handle, "UNSUPPORTED_FEATURE", feature=feature, detail="the engine does not have it")
        if member.state != READY:
            if member.state == DRAINING:
                return self.refuse(handle, "DRAINING", what="The worker")
            return self.refuse(handle, "MODEL_LOADING", model=member.model)
        if submit.model != member.model:
            return self.refuse(handle, "MODEL_NOT_FOUND", model=submit.model, hint="")
        if len(member.open) >= PLACES:
            return self.refuse(handle, "OVERLOADED", what="requests")
        tokens, so_far = numbers(submit.prompt_token_ids), numbers(submit.generated_token_ids)
        is_one = bool(tokens) != bool(submit.prompt_text)
        tokens = tokens or engine.encode(submit.prompt_text)
        length = len(tokens) + len(so_far)
        fits = length < member.context and max(tokens + so_far, default=0) < engine.vocabulary
        if submit.kind != wire.REQUEST_KIND_GENERATE or not is_one or not tokens or not fits:
            return self.refuse(handle, "INVALID_ARGUMENT", detail="kind or prompt: none, too long, or of other tokens")
        if submit.stopping.max_tokens <= len(so_far):
            return self.refuse(handle, "INVALID_ARGUMENT", detail="max_tokens: the answer has as many already")
        cached = 0 if submit.cache_salt else self.worker.remember(tokens)
        self.since = self.since if self.runs else time.monotonic_ns()
        del self.gathering[handle]
        self.say("accepted", (handle, cached, len(tokens) - cached))
        self.runs[handle] = Run(self, submit, tokens, so_far, cached)
        member.open[self.runs[handle].name] = self.runs[handle]


class LinkWorker(Worker, link_pb2_grpc.WorkerLinkServiceServicer):
    """Answers the link beside openengine.v1."""

    def add(self, server):
        super().add(server)
        link_pb2_grpc.add_WorkerLinkServiceServicer_to_server(self, server)
        self.member.services.append("stator.worker.v1.WorkerLinkService")

    async def read(self, link, requests):
        try:
            link.hear(await asyncio.wait_for(anext(aiter(requests)), 5))
            async for request in requests:
                link.hear(request)
            link.stop()
        except asyncio.TimeoutError:
            link.stop("No Hello came in 5 seconds.")
        except Violation as violation:
            link.stop(str(violation))

    async def Link(self, requests, context):
        link = Link(self)
        reader = asyncio.create_task(self.read(link, requests))

        def changed(is_lapsed):
            link.stop("The lease lapsed.") if is_lapsed else link.say("notice", {"draining": True})

        self.member.on_change.add(changed)
        try:
            while not link.is_over:
                await link.news.wait()
                link.news.clear()
                await asyncio.sleep(0)  # what else is said in this turn goes along
                while link.outbox and not link.error:
                    yield link.message()
                link.is_over |= self.member.state == DRAINING and not link.runs and not link.gathering
            if link.error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, link.error)
        finally:
            self.member.on_change.discard(changed)
            reader.cancel()
            for each in list(link.runs.values()):
                each.close()


if __name__ == "__main__":
    asyncio.run(run(LinkWorker))
