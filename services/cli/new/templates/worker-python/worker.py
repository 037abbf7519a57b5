"""Serves the model of engine.py as openengine.v1: python3 worker.py --model NAME --hub HOST:PORT"""

import asyncio, hashlib, re, secrets, time
from collections import deque

import grpc
from openengine.v1 import generation_pb2 as gen, kv_pb2 as kv, lifecycle_pb2 as life, model_pb2, server_pb2
from openengine.v1 import openengine_pb2_grpc as openengine

from member import DRAINING, LOADING, PLACES, READY, run


BLOCK, MOST_BLOCKS, KEPT = 16, 65_536, 4_096  # tokens of a block, blocks, batches and names that are remembered
HEALTH = {LOADING: life.HEALTH_STATE_STARTING, READY: life.HEALTH_STATE_READY, DRAINING: life.HEALTH_STATE_DRAINING}
HEADERS = {"openengine-priority": r"-?[01]?\d{1,9}", "openengine-target-dp-rank": r"[0-3]?\d{1,9}",
           "traceparent": "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"}
Code = grpc.StatusCode


async def answer(engine, tokens, sampling, seed, *, least, most, stop_ids, stops=(), decode=lambda ids: ""):
    """Ids, text and the end of an answer, each as soon as it may be told."""
    held, made, end = [], 0, None
    begun = ("\ufffd", *(stop[:n] for stop in stops for n in range(1, len(stop))))  # more may come of these
    async for token in engine.generate(list(tokens), sampling, seed):
        made += 1
        held.append(token)
        text = decode(held)
        stop = min((stop for stop in stops if stop in text and made > least), key=text.index, default="")
        if token in stop_ids and made > least:
            end, text = {"reason": "FINISH_REASON_STOP", "stop_match": {"stop_token_id": held.pop()}}, decode(held)
        elif stop:
            end, text = {"reason": "FINISH_REASON_STOP", "stop_match": {"stop_text": stop}}, text[: text.index(stop)]
            while len(decode(held)) > len(text):
                held.pop()
        elif made >= most:
            end = {"reason": "FINISH_REASON_LENGTH"}
        if end or not text.endswith(begun):
            yield held, text, end
            held = []
        if end:
            return
    yield held, decode(held), {"reason": "FINISH_REASON_STOP"}


class Worker(openengine.InferenceServicer, openengine.ControlServicer):
    """Answers openengine.v1."""

    def __init__(self, member):
        self.member, self.model, self.id, self.open = member, member.model, str(member.instance), member.open
        self.ended = deque(maxlen=KEPT)  # names of requests that were here
        self.blocks, self.batches, self.number, self.news = {}, deque(maxlen=KEPT), 0, asyncio.Event()

    def add(self, server):
        openengine.add_InferenceServicer_to_server(self, server)
        openengine.add_ControlServicer_to_server(self, server)
        self.member.services += ["openengine.v1.Inference", "openengine.v1.Control"]

    async def Generate(self, request, context):
        name, engine, sampling, stopping = request.request_id, self.member.engine, request.sampling, request.stopping
        if self.member.state != READY or len(self.open) >= PLACES:
            await context.abort(Code.UNAVAILABLE, "It loads, drains, or has every place taken.")
        tokens = list(request.token_ids.ids) or engine.encode(request.prompt)
        room = engine.context - len(tokens)
        most = min(room, stopping.max_tokens) if stopping.HasField("max_tokens") else room
        stop_ids = [each.stop_token_id for each in stopping.conditions if each.HasField("stop_token_id")]
        stops = [each.stop_text for each in stopping.conditions if each.stop_text]
        headers = [(key, value) for key, value in context.invocation_metadata() if key in HEADERS]
        lacks = request.guided.ByteSize() or request.media or request.kv.HasField("session") or request.kv.cache_salt
        for holds, code, why in (
            (request.model in ("", self.model), Code.NOT_FOUND, f"There is no model {request.model} here."),
            (not request.lora_name, Code.NOT_FOUND, f"There is no adapter {request.lora_name} here."),
            (name and tokens, Code.INVALID_ARGUMENT, "request_id and input must not be empty."),
            (name not in self.open, Code.ALREADY_EXISTS, f"A request {name} runs."),
            (room > 0, Code.INVALID_ARGUMENT, f"The prompt has {len(tokens)} tokens, the context {engine.context}."),
            (max(tokens, default=0) < engine.vocabulary, Code.INVALID_ARGUMENT, "A token is not in the vocabulary."),
            (0 < most >= stopping.min_tokens, Code.INVALID_ARGUMENT, "min_tokens and max_tokens do not fit."),
            (len(stop_ids + stops) == len(stopping.conditions), Code.INVALID_ARGUMENT, "A stop condition is empty."),
            (sampling.temperature >= 0, Code.INVALID_ARGUMENT, "temperature must be 0 or more."),
            (sampling.num_sequences == sampling.HasField("num_sequences"), Code.INVALID_ARGUMENT, "One sequence."),
            (len(dict(headers)) == len(headers), Code.INVALID_ARGUMENT, "A header came twice."),
            (all(re.fullmatch(HEADERS[key], value) for key, value in headers), Code.INVALID_ARGUMENT, "A bad header."),
            (not lacks and not request.response.ListFields(), Code.UNIMPLEMENTED, "The engine does not have that."),
        ):
            if not holds:
                await context.abort(code, why)
        is_greedy = sampling.HasField("temperature") and sampling.temperature == 0 or sampling.top_k == 1
        seed = 0 if is_greedy else sampling.seed if sampling.HasField("seed") else secrets.randbits(64)
        cached = self.remember(tokens) * (not request.kv.bypass_prefix_cache)
        bounds = {"least": stopping.min_tokens, "most": most, "stop_ids": stop_ids, "stops": stops}
        parts = answer(engine, tokens, sampling, seed, decode=engine.decode, **bounds)
        self.open[name], end, given = (gone := asyncio.get_running_loop().create_future()), None, 0
        try:
            while not end:
                pull = asyncio.ensure_future(anext(parts))
                await asyncio.wait((pull, gone), return_when=asyncio.FIRST_COMPLETED)
                ids, text, end = ([], "", {"reason": "FINISH_REASON_CANCELLED"}) if gone.done() else pull.result()
                given += len(ids)
                if ids or text:
                    token = {"output_index": 0, "tokens": [{"token_id": id} for id in ids], "text": text}
                    yield gen.GenerateResponse(request_id=name, token=token)
            usage = {"prompt_tokens": len(tokens), "completion_tokens": given, "cached_prompt_tokens": cached}
            usage["total_tokens"] = len(tokens) + given
            yield gen.GenerateResponse(request_id=name, finished={"output_index": 0, **end}, usage=usage)
        except Exception as error:
            told = {"code": "ERROR_CODE_INTERNAL", "message": str(error), "retryable": True}
            yield gen.GenerateResponse(request_id=name, error=told)
        finally:
            pull.cancel()
            del self.open[name]
            self.ended.append(name)

    async def Abort(self, request, context):
        target, name = request.WhichOneof("target"), request.request_id
        if not target:
            await context.abort(Code.INVALID_ARGUMENT, "target: expected one.")
        if target != "all_requests" and name not in self.open:
            if name not in self.ended:
                await context.abort(Code.NOT_FOUND, "That is not known here.")
            return life.AbortResponse(status="ABORT_STATUS_ALREADY_FINISHED")
        for gone in list(self.open.values()) if target == "all_requests" else [self.open[name]]:
            gone.done() or gone.set_result(None)
        return life.AbortResponse(status="ABORT_STATUS_ABORTED")

    def remember(self, tokens):  # keeps the names of a prompt's blocks; how many of its tokens were there before
        parent, known = None, 0
        for at in range(BLOCK, len(tokens) + 1, BLOCK):
            ids = tokens[at - BLOCK : at]
            name = hashlib.blake2b(repr((parent, ids)).encode(), digest_size=8).digest()
            if name in self.blocks:
                known = at
            elif len(self.blocks) < MOST_BLOCKS:
                named = {"block_hashes": [{"value": name, "encoding": "bytes"}], "token_ids": ids, "block_size": BLOCK}
                above = {"parent_block_hash": {"value": parent, "encoding": "bytes"}} if parent else {}
                self.blocks[name] = {"block_stored": named | above}
                self.tell(self.blocks[name])
            parent = name
        return min(known, len(tokens) - 1)

    def tell(self, event):
        self.number += 1
        self.batches.append(self.batch(self.number, event))
        self.news.set()
        self.news = asyncio.Event()

    def batch(self, number, event):
        batch = {"sequence_number": number, "timestamp_unix_nanos": time.time_ns(), "events": [event]}
        return kv.SubscribeKvEventsResponse(batch=batch)

    async def SubscribeKvEvents(self, request, context):
        at, oldest = request.start_sequence_number, self.number + 1 - len(self.batches)
        is_kept = at and oldest <= at <= self.number + 1
        if at and not is_kept and not request.include_snapshot:
            await context.abort(Code.INVALID_ARGUMENT, f"start_sequence_number: {at} is not kept.")
        at = at if is_kept else self.number + 1
        for event in list(self.blocks.values()) if request.include_snapshot and not is_kept else ():
            yield self.batch(at - 1, event)
        while at > self.number - len(self.batches):  # else this reader is too far behind, and subscribes again
            if at > self.number:
                await self.news.wait()
                continue
            yield self.batches[at - self.number - 1]
            at += 1

    async def GetServerInfo(self, request, context):
        capacity = {"kv_block_size": BLOCK, "total_kv_blocks": MOST_BLOCKS, "max_running_requests": PLACES}
        revisions = {"schema_revision": 1, "minimum_client_revision": 1, "schema_release": "stator-0.1.0"}
        said = {"engine_name": "mine", "engine_role": "ENGINE_ROLE_AGGREGATED", "capacity": capacity, **revisions}
        return server_pb2.ServerInfo(instance_id=self.id, supported_models=[self.model], **said)

    async def GetModelInfo(self, request, context):
        if request.model not in ("", self.model):
            await context.abort(Code.NOT_FOUND, f"There is no model {request.model} here.")
        can = {key: {"supported": False} for key in ("prompt_logprobs", "output_logprobs", "guided_decoding")}
        can |= {"max_num_sequences": 1, "supports_cache_salt": False, "supports_prefix_cache_bypass": True}
        takes = {"supports_text_input": self.member.takes_text, "supports_token_ids_input": True}
        takes |= {"supports_lora": False, "supports_multimodal": False, "max_context_length": self.member.context}
        return model_pb2.ModelInfo(served_model_name=self.model, generation=can, **takes)

    async def GetLoad(self, request, context):
        load = {"running_requests": len(self.open), "queued_requests": 0, "timestamp_unix_nanos": time.time_ns()}
        blocks = {"used_kv_blocks": len(self.blocks), "total_kv_blocks": MOST_BLOCKS}
        return server_pb2.LoadInfo(instance_id=self.id, **load, **blocks)

    async def Health(self, request, context):
        is_other = request.model not in ("", self.model) or request.role in (2, 3)  # prefill or decode alone
        state = life.HEALTH_STATE_NOT_READY if is_other else HEALTH[self.member.state]
        return life.HealthResponse(state=state, checks=[{"name": "inference_probe", "state": state}])

    async def LoadLora(self, request, context):
        await context.abort(Code.FAILED_PRECONDITION, "This worker takes no adapters.")

    UnloadLora = ListLoras = LoadLora

    async def GetKvEventSources(self, request, context):
        return kv.GetKvEventSourcesResponse()  # none beside SubscribeKvEvents


if __name__ == "__main__":
    asyncio.run(run(Worker))
