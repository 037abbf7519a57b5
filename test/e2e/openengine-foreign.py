"""A foreign client of a worker: Debian's grpcio, an address, and the reflection protocol written out by hand.

Usage: openengine-foreign.py ADDRESS. Learns openengine.v1 from the server, uses it, and prints what it saw as JSON.
"""

import json
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

TYPE = descriptor_pb2.FieldDescriptorProto


def class_of(descriptor):
    """The class of a message; how it is asked for depends on the release of protobuf."""
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)


def reflection_messages():
    """The part of grpc.reflection.v1 that a client needs."""
    file = descriptor_pb2.FileDescriptorProto(name="hand.proto", package="hand", syntax="proto3")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            made.field.add(name=field, number=number, type=kind, label=label, type_name=of)

    one, many = TYPE.LABEL_OPTIONAL, TYPE.LABEL_REPEATED
    message("Request", ("symbol", 4, TYPE.TYPE_STRING, one, None), ("list", 7, TYPE.TYPE_STRING, one, None))
    message("Name", ("name", 1, TYPE.TYPE_STRING, one, None))
    message("Names", ("service", 1, TYPE.TYPE_MESSAGE, many, ".hand.Name"))
    message("Files", ("file", 1, TYPE.TYPE_BYTES, many, None))
    message("Response", ("files", 4, TYPE.TYPE_MESSAGE, one, ".hand.Files"), ("names", 6, TYPE.TYPE_MESSAGE, one, ".hand.Names"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: class_of(pool.FindMessageTypeByName(f"hand.{name}")) for name in ("Request", "Response")}


class Server:
    """Any server, known by reflection alone."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.hand = reflection_messages()
        self.pool = descriptor_pool.DescriptorPool()
        self.added = set()

    def ask(self, **question):
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            self.hand["Request"].SerializeToString,
            self.hand["Response"].FromString,
        )
        return next(call(iter([self.hand["Request"](**question)]), timeout=20))

    def services(self):
        # A proto3 writer leaves an empty text out; one letter makes the question visible.
        return sorted(each.name for each in self.ask(list="*").names.service)

    def describe(self, name):
        files = {}
        for data in self.ask(symbol=name).files.file:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            files[file.name] = file
        for file in list(files):
            self.add(files, file)
        return self.pool.FindServiceByName(name)

    def add(self, files, name):
        if name in self.added or name not in files:
            return
        self.added.add(name)
        for dependency in files[name].dependency:
            self.add(files, dependency)
        self.pool.Add(files[name])

    def method(self, service, name):
        found = self.describe(service).methods_by_name[name]
        request, answer = class_of(found.input_type), class_of(found.output_type)
        kind = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        return request, kind(f"/{service}/{name}", request.SerializeToString, answer.FromString)


def plain(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def failure(call):
    try:
        messages = list(call)
    except grpc.RpcError as error:
        return error.code().name
    return f"{len(messages)} messages"


server = Server(sys.argv[1])
control, inference = "openengine.v1.Control", "openengine.v1.Inference"
seen = {"services": server.services()}
seen["inference"] = [
    [method.name, method.input_type.full_name, method.output_type.full_name, method.client_streaming, method.server_streaming]
    for method in server.describe(inference).methods
]
seen["control"] = sorted(method.name for method in server.describe(control).methods)

calls = {name: server.method(control, name) for name in ("GetServerInfo", "GetModelInfo", "Health", "GetLoad", "Abort")}


def ask(name, **fields):
    request, call = calls[name]
    return call(request(**fields), timeout=20)


seen["server"] = plain(ask("GetServerInfo"))
seen["model"] = plain(ask("GetModelInfo"))
seen["health"] = plain(ask("Health", include_inference_probe=True))

Request, generate = server.method(inference, "Generate")


def request(name, limit, **fields):
    made = Request(request_id=name, prompt="What is a fox?", **fields)
    made.stopping.max_tokens = limit
    made.stopping.ignore_eos = True
    return made


answer = list(generate(request("text", 12), timeout=60))
tokens = [each.token for each in answer if each.WhichOneof("event") == "token"]
seen["text"] = "".join(each.text for each in tokens)
seen["messages"] = [each.WhichOneof("event") for each in answer]
seen["explicit"] = all(each.HasField("output_index") for each in tokens)
seen["finished"] = plain(answer[-1])

running = generate(request("cancelled", 100000), timeout=60)
for _ in range(3):
    next(running)
running.cancel()
seen["cancelled"] = failure(running)

aborted = generate(request("aborted", 100000), timeout=60)
next(aborted)
seen["duplicate"] = failure(generate(request("aborted", 1), timeout=20))
threading.Thread(target=lambda: ask("Abort", request_id="aborted")).start()
seen["aborted"] = plain(list(aborted)[-1])["finished"]["reason"]

twice = (("openengine-priority", "1"), ("openengine-priority", "2"))
seen["repeated"] = failure(generate(request("repeated", 1), timeout=20, metadata=twice))
seen["urgent"] = failure(generate(request("urgent", 1), timeout=20, metadata=twice[:1]))
empty = request("empty", 1)
empty.ClearField("prompt")
seen["empty"] = failure(generate(empty, timeout=20))
seen["impatient"] = failure(generate(request("impatient", 100000), timeout=0.5))

for _ in range(400):
    seen["left"] = ask("GetLoad").running_requests
    if seen["left"] == 0:
        break
    time.sleep(0.05)

print(json.dumps(seen))
