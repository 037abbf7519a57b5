"""Runs the golden corpus: runner.py CORPUS_FOLDER TARGETS_FILE [PART_OF_A_NAME]. ../corpus/README.md tells all of it."""

import base64
import concurrent.futures
import importlib
import json
import pathlib
import queue
import sys
import time

import grpc
import stator
from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from match import ABSENT, fill, mismatch, values_at

VERSION, PATIENCE_S, AGAIN_S = 1, 20, 0.05
# All that was generated is imported, and found again by the full names of messages and services.
STUBS = pathlib.Path(next(iter(stator.__path__))).parent
for module in STUBS.rglob("*_pb2.py"):
    importlib.import_module(".".join(module.relative_to(STUBS).with_suffix("").parts))
POOL = descriptor_pool.Default()
# Waits for a message in the place of a step, which may lose patience. It reads nothing that no step asked for.
READER = concurrent.futures.ThreadPoolExecutor(max_workers=1)


class OpenCall:
    """A call with many answers. Nothing is read of it before a step wants a message."""

    def __init__(self, channel, step):
        is_bidi, wire, request, options = prepare(step)
        self.request_class, self.messages, self.requests = type(request), [], queue.SimpleQueue()
        # A thread of the library sends what is in the queue, and stops where the server does not read.
        call = channel.stream_stream if is_bidi else channel.unary_stream
        self.stream = call(*wire)(iter(self.requests.get, None) if is_bidi else request, **options)

    def next(self):
        """The next message; None when the call has ended."""
        try:
            message = READER.submit(next, self.stream, None).result(PATIENCE_S)
        except concurrent.futures.TimeoutError:
            raise ValueError(f"nothing came for {PATIENCE_S} s, after {len(self.messages)} messages") from None
        except grpc.RpcError:
            return None
        if message is not None:
            message = MessageToDict(message)
            self.messages.append(message)
        return message


class Case:
    """What the steps of a case share: what they saved, their open calls, and the connection to each target."""

    def __init__(self, channels):
        self.channels, self.saved, self.calls = channels, {}, {}

    def run(self, steps):
        """Why the case fails; None when it passes."""
        at = 0
        try:
            for at, step in enumerate(steps, 1):
                if step["step"] not in STEPS:
                    raise ValueError("the runner does not know this kind of step")
                STEPS[step["step"]](self, fill(step, self.saved))
        # Those of the libraries are many: a name that is not there, a message that cannot be read.
        except Exception as error:
            return f"step {at}, {steps[at - 1]['step']}: {error}"
        finally:
            for call in self.calls.values():
                call.stream.cancel()
                call.requests.put(None)

    def call(self, step):
        _, wire, request, options = prepare(step)
        send = self.channels[step["target"]].unary_unary(*wire)
        until = time.monotonic() + step.get("withinMs", 0) / 1000
        while True:
            try:
                answer, call = send.with_call(request, **options)
            except grpc.RpcError as error:
                answer, call = None, error
            ending = ending_of(call)
            found = mismatch(step.get("error", {"code": 0}), ending, self.saved)
            if answer is not None and "expect" in step:
                found = found or mismatch(step["expect"], MessageToDict(answer), self.saved)
            if answer is not None and base64.b64decode(step.get("contains", "")) not in answer.SerializeToString():
                found = found or f"the bytes {step['contains']} are not in the answer"
            if found is None:
                return
            if time.monotonic() >= until:
                raise ValueError(f"{found}; the call ended with {json.dumps(ending)}")
            time.sleep(AGAIN_S)

    def open(self, step):
        self.calls[step["as"]] = OpenCall(self.channels[step["target"]], step)

    def send(self, step):
        call = self.calls[step["to"]]
        request = request_of(call.request_class, step)
        for _ in range(step.get("times", 1)):
            call.requests.put(request)

    def receive(self, step):
        call, messages = self.calls[step["from"]], []
        while len(messages) != step.get("count"):
            message = call.next()
            if message is None:
                raise ValueError(f"the call ended after {len(messages)} messages: {json.dumps(ending_of(call.stream))}")
            messages.append(message)
            if "until" in step and mismatch(step["until"], message, self.saved) is None:
                break
        self.check_messages(step.get("expect", {}), messages)

    def end(self, step):
        call = self.calls[step["from"]]
        while call.next() is not None:
            pass
        self.check("the end", step.get("error", {"code": 0}), ending_of(call.stream))
        self.check_messages(step.get("expect", {}), call.messages)

    def codec(self, step):
        """Bytes, their message and its JSON are one and the same, whichever of them one begins with."""
        kind = message_class(step["type"])
        read = kind.FromString(base64.b64decode(step["wire"]))
        again = kind.FromString(read.SerializeToString())
        from_json = kind.FromString(ParseDict(step["json"], kind()).SerializeToString())
        for what, message in {"read": read, "written again": again, "written from JSON": from_json}.items():
            self.check(what, {"$equal": step["json"]}, MessageToDict(message))
            written = base64.b64encode(message.SerializeToString()).decode()
            if step.get("sameBytes") and written != step["wire"]:
                raise ValueError(f"{what}: expected the bytes {step['wire']}, got {written}")

    def check(self, what, pattern, value):
        if found := mismatch(pattern, value, self.saved):
            raise ValueError(f"{what}: {found}")

    def check_messages(self, expect, messages):
        first, last = (messages[0], messages[-1]) if messages else (ABSENT, ABSENT)
        whole = {"messages": messages, "first": first, "last": last, "count": len(messages)}
        for what in whole.keys() & expect.keys():
            self.check(what, expect[what], whole[what])
        for message in messages if "each" in expect else ():
            self.check("each", expect["each"], message)
        for pattern in expect.get("some", ()):
            self.check("some", {"$some": pattern}, messages)
        for path, pattern in expect.get("joined", {}).items():
            self.check(f"joined {path}", pattern, "".join(map(str, values_at(messages, path))))
        for path, pattern in expect.get("gathered", {}).items():
            self.check(f"gathered {path}", pattern, values_at(messages, path))


STEPS = {name: getattr(Case, name) for name in ("call", "open", "send", "receive", "end", "codec")} | {
    "finish": lambda case, step: case.calls[step["to"]].requests.put(None),
    "cancel": lambda case, step: case.calls[step["from"]].stream.cancel(),
    "sleep": lambda case, step: time.sleep(step["ms"] / 1000),
}


def prepare(step):
    """Whether a method's requests are many; its path, writer and reader; the request; options of the call."""
    service, _, name = step["method"].partition("/")
    method = POOL.FindServiceByName(service).methods_by_name[name]
    kind, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    timeout = step["deadlineMs"] / 1000 if "deadlineMs" in step else None
    options = {"timeout": timeout, "metadata": tuple(step.get("metadata", {}).items())}
    wire = (f"/{step['method']}", kind.SerializeToString, answer.FromString)
    return method.client_streaming, wire, request_of(kind, step), options


def request_of(kind, step):
    request = ParseDict(step.get("request", {}), kind())
    return kind.FromString(request.SerializeToString() + base64.b64decode(step.get("append", "")))


def message_class(name):
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def ending_of(call):
    """How a call ended: code, sentence, and the ErrorDetail that Stator puts into its status."""
    ending = {"code": call.code().value[0], "message": call.details()}
    trailer = dict(call.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    for packed in status_pb2.Status.FromString(trailer).details:
        if packed.type_url.endswith("/stator.common.v1.ErrorDetail"):
            ending["detail"] = MessageToDict(message_class("stator.common.v1.ErrorDetail").FromString(packed.value))
    return ending


def main(folder, targets_file, part=""):
    def read(*path):
        return json.loads(pathlib.Path(*path).read_text(encoding="utf-8"))

    manifest = read(folder, "corpus.json")
    if manifest["version"] != VERSION:
        raise SystemExit(f"the corpus is of version {manifest['version']}; this runner knows {VERSION}")
    # What is sent has no limit, and what is on loopback needs no proxy.
    limits = {"max_receive_message_length": manifest["receiveLimitBytes"], "max_send_message_length": -1}
    options = [(f"grpc.{name}", value) for name, value in {**limits, "enable_http_proxy": 0}.items()]
    channels = {name: grpc.insecure_channel(address, options) for name, address in read(targets_file).items()}
    summary = {"passed": 0, "failed": [], "skipped": []}
    cases = [case for file in manifest["files"] for case in read(folder, file)["cases"]]
    for name, steps in ((case["name"], case["steps"]) for case in cases if part in case["name"]):
        missing = [step["target"] for step in steps if "target" in step and step["target"] not in channels]
        reason = f"there is no target {missing[0]}" if missing else Case(channels).run(steps)
        if reason is None:
            summary["passed"] += 1
        else:
            summary["skipped" if missing else "failed"].append({"name": name, "reason": reason})
        print("ok" if reason is None else "skip" if missing else "FAIL", name, reason or "", flush=True)
    print(json.dumps(summary))
    return 1 if summary["failed"] else 0


sys.exit(main(*sys.argv[1:]))
