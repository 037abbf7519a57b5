"""Asks a frontend with KServe's own clients, gRPC and REST: checks of what page examples do not show.

Arguments: HOST:PORT of HTTP and of gRPC. Prints one line for each check that passed; ends with an error at the first
that did not.
"""

import asyncio
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

HTTP, GRPC = sys.argv[1:]
URL = f"http://{HTTP}"
TEXT = "stator-demo"


def text(prompt, model=TEXT, **parameters):
    given = InferInput("text_input", [1], "BYTES", data=[prompt])
    return InferRequest(model_name=model, infer_inputs=[given], request_id="k1", parameters={"max_tokens": 8, **parameters})


def numbers(binary):
    inputs = []
    for name in ("INPUT0", "INPUT1"):
        given = InferInput(name, [1, 16], "INT32")
        given.set_data_from_numpy(np.arange(16, dtype=np.int32).reshape(1, 16), binary_data=binary)
        inputs.append(given)
    return InferRequest(model_name="simple", infer_inputs=inputs)


def sums(answer):
    found = {output.name: output.as_numpy().reshape(-1).tolist() for output in answer.outputs}
    assert found == {"OUTPUT0": [2 * each for each in range(16)], "OUTPUT1": [0] * 16}, found


async def over_grpc():
    async with InferenceGRPCClient(GRPC) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready(TEXT) and not await client.is_model_ready("nobody")
        answer = await client.infer(text("The capital of Japan is", temperature=0))
        assert answer.id == "k1" and answer.model_name == TEXT, answer
        for binary in (True, False):
            sums(await client.infer(numbers(binary)))
        for request, code in ((text("x", "nobody"), grpc.StatusCode.NOT_FOUND), (text("x", max_token=1), grpc.StatusCode.INVALID_ARGUMENT)):
            try:
                await client.infer(request)
            except grpc.RpcError as error:
                assert error.code() == code, error
            else:
                raise AssertionError(f"{code} was expected")
        return bytes(answer.outputs[0].as_numpy()[0]).decode()


async def over_rest():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(URL) and await client.is_server_ready(URL)
        assert await client.is_model_ready(URL, TEXT) and not await client.is_model_ready(URL, "nobody")
        answer = await client.infer(URL, text("The capital of Japan is", temperature=0), model_name=TEXT)
        assert answer.id == "k1" and answer.model_name == TEXT, answer
        for binary in (True, False):
            sums(await client.infer(URL, numbers(binary), model_name="simple"))
        for request, model, status in ((text("x"), "nobody", 404), (text("x", max_token=1), TEXT, 400)):
            try:
                await client.infer(URL, request, model_name=model)
            except httpx.HTTPStatusError as error:
                assert error.response.status_code == status, error
            else:
                raise AssertionError(f"{status} was expected")
        return answer.outputs[0].as_numpy()[0]


def repository():
    """Loading in KServe's messages, which differ from Triton's by the same path."""
    with grpc.insecure_channel(GRPC) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        try:
            stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="nobody"))
        except grpc.RpcError as error:
            assert "failed to load 'nobody'" in error.details(), error
        else:
            raise AssertionError("nobody was loaded")
        metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name=TEXT))
        assert metadata.inputs[0].name == "text_input", metadata


said = [asyncio.run(over_grpc()), asyncio.run(over_rest())]
print("grpc and rest")
assert said[0] == said[1] == " Tokyo.", said
print("the same text")
repository()
print("repository")
