"""A client that another team might write: nothing of Stator but the stubs that `stator stubs` made.

Usage: client.py ADDRESS REQUEST_HEX. Sends the request, prints each answer as it arrived, in hex.
"""

import sys

import grpc
from openengine.v1 import generation_pb2, openengine_pb2_grpc


def main(address: str, request_hex: str) -> None:
    request = generation_pb2.GenerateRequest.FromString(bytes.fromhex(request_hex))
    assert request.HasField("sampling") and request.sampling.HasField("temperature")
    assert request.sampling.temperature == 0 and list(request.token_ids.ids) == [1, 300, 70000]
    with grpc.insecure_channel(address) as channel:
        answers = openengine_pb2_grpc.InferenceStub(channel).Generate(request, timeout=20)
        for answer in answers:
            print(answer.SerializeToString(deterministic=True).hex())


main(*sys.argv[1:])
