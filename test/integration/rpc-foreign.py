"""A foreign client: Debian's grpcio with nothing of ours but an address. Learns the contract by reflection and calls it."""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address = sys.argv[1]
service = sys.argv[2]
channel = grpc.insecure_channel(address)
seen = {}


def whole(data):
    return data


def fields(data):
    """Field number and value of each length-delimited or varint field of a message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size
        else:
            yield key >> 3, varint()


def ask(revision, number, text):
    """One question of the reflection service; the fields of its answer's oneof."""
    name = text.encode()
    path = f"/grpc.reflection.{revision}.ServerReflection/ServerReflectionInfo"
    answers = channel.stream_stream(path, whole, whole)(iter([bytes([number << 3 | 2, len(name)]) + name]), timeout=10)
    return {key: value for key, value in fields(next(answers)) if key >= 4}


for revision in ("v1", "v1alpha"):
    listed = ask(revision, 7, "")[6]
    seen[revision] = sorted(dict(fields(each))[1].decode() for _, each in fields(listed))

files = {}
for _, data in fields(ask("v1", 4, service)[4]):
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    files[file.name] = file
pool = descriptor_pool.DescriptorPool()


def add(name):
    if name in files:
        file = files.pop(name)
        for dependency in file.dependency:
            add(dependency)
        pool.Add(file)


for name in list(files):
    add(name)
described = pool.FindServiceByName(service)
seen["methods"] = sorted(method.name for method in described.methods)
seen["missing"] = ask("v1", 4, "no.such.Thing")[7] is not None
factory = message_factory.MessageFactory(pool)


def caller(method):
    found = described.methods_by_name[method]
    request = factory.GetPrototype(found.input_type)
    answer = factory.GetPrototype(found.output_type)
    path = f"/{service}/{method}"
    kind = channel.unary_stream if found.server_streaming else channel.unary_unary
    return request, kind(path, request.SerializeToString, answer.FromString)


request, say = caller("Say")
seen["said"] = say(request(value="hello"), timeout=10).value
try:
    say(request(value="!NO_WORKERS"), timeout=10)
except grpc.RpcError as error:
    trailers = dict(error.trailing_metadata())
    seen["error"] = [error.code().name, error.details(), b"stator.common.v1.ErrorDetail" in trailers["grpc-status-details-bin"]]
request, count = caller("Count")
seen["counted"] = [each.value for each in count(request(value=5), timeout=10)]

check = channel.unary_unary("/grpc.health.v1.Health/Check", whole, whole)
seen["health"] = dict(fields(check(b"", timeout=10)))[1]
try:
    check(b"\x0a\x07missing", timeout=10)
except grpc.RpcError as error:
    seen["unhealthy"] = error.code().name
try:
    channel.unary_unary("/no.such.Service/Method", whole, whole)(b"", timeout=10)
except grpc.RpcError as error:
    seen["unknown"] = error.code().name

print(json.dumps(seen))
