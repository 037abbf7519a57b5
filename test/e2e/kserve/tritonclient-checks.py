"""Asks a frontend with Triton's own client in all of its ways: checks of what page examples do not show.

Arguments: HOST:PORT of HTTP and of gRPC. Prints one line for each check that passed; ends with an error at the first
that did not.
"""

import asyncio
import queue
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

HTTP, GRPC = sys.argv[1:]
TEXT = "stator-demo"
PROMPT = "Write about Japan: "
GREEDY = {"max_tokens": 24, "temperature": 0}


def tensor(kind, name, values, datatype):
    given = kind.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def prompts(kind, *texts):
    return tensor(kind, "text_input", np.array(list(texts), dtype=object), "BYTES")


def wanted(kind):
    return [kind.InferRequestedOutput(name) for name in ("text_output", "token_ids", "finish_reason")]


def told(answer):
    """What an answer of text says: text, ids, why it ended."""
    return (
        answer.as_numpy("text_output")[0].decode(),
        answer.as_numpy("token_ids")[0].tolist(),
        answer.as_numpy("finish_reason")[0].decode(),
    )


def refused(call, words):
    try:
        call()
    except InferenceServerException as error:
        assert words in str(error), error
        return
    raise AssertionError(f"nothing refused what should be: {words}")


class Stream:
    """Answers of one stream in the order in which they came."""

    def __init__(self, client):
        self.client = client
        self.answers = queue.Queue()
        client.start_stream(callback=lambda result, error: self.answers.put(error or result))

    def next(self):
        return self.answers.get(timeout=60)


def check_about(kind, client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(TEXT)
    assert not client.is_model_ready("nobody") and not client.is_model_ready(TEXT, "2")
    said = {"as_json": True} if kind is grpc else {}
    metadata = client.get_model_metadata(TEXT, **said)
    assert metadata["inputs"][0]["datatype"] == "BYTES", metadata
    assert client.get_server_metadata(**said)["name"] == "triton"
    assert client.get_model_config("repeat_int32", **said)
    index = client.get_model_repository_index(**said)
    models = index["models"] if kind is grpc else index
    assert {"simple", TEXT} <= {model["name"] for model in models}, models
    stats = client.get_inference_statistics(TEXT, **said)["model_stats"]
    assert [each["name"] for each in stats] == [TEXT], stats


def check_operators(kind, client):
    refused(lambda: client.load_model("nobody"), "failed to load")
    refused(lambda: client.unload_model(TEXT), "failed to unload")
    refused(lambda: client.update_log_settings({"log_file": "/tmp/log"}), "log_file")
    client.update_log_settings({"log_info": False})
    said = {"as_json": True} if kind is grpc else {}
    client.get_trace_settings(TEXT, **said)
    raw = b"aGFuZGxl" if kind is grpc else "aGFuZGxl"
    refused(lambda: client.register_cuda_shared_memory("cuda", raw, 0, 8), "no GPU")


def check_mistakes(kind, client):
    refused(lambda: client.infer("nobody", [prompts(kind, "x")]), "Request for unknown model")
    refused(lambda: client.infer(TEXT, [prompts(kind, "x")], model_version="2"), "Version 2")
    refused(lambda: client.infer(TEXT, [prompts(kind, "x")], parameters={"max_token": 1}), "max_tokens")
    refused(lambda: client.infer(TEXT, [prompts(kind, "x")], sequence_id=7), "sequence")
    refused(lambda: client.infer(TEXT, [tensor(kind, "text", np.array(["x"], dtype=object), "BYTES")]), "text")
    # A model of tensors checks what goes in itself.
    wrong = np.zeros((1, 15), dtype=np.int32)
    refused(lambda: client.infer("simple", [tensor(kind, name, wrong, "INT32") for name in ("INPUT0", "INPUT1")]), "INPUT0")


def check_tensors(kind, client):
    for model, dtype, datatype in (("simple", np.int32, "INT32"), ("simple_int8", np.int8, "INT8")):
        one, two = np.arange(16, dtype=dtype).reshape(1, 16), np.ones((1, 16), dtype=dtype)
        answer = client.infer(model, [tensor(kind, "INPUT0", one, datatype), tensor(kind, "INPUT1", two, datatype)])
        assert (answer.as_numpy("OUTPUT0") == one + two).all() and (answer.as_numpy("OUTPUT1") == one - two).all()
    long = np.array([["é" * 500_000, "", "\0"]], dtype=object)
    answer = client.infer("simple_identity", [tensor(kind, "INPUT0", long, "BYTES")])
    assert [each.decode() for each in answer.as_numpy("OUTPUT0")[0]] == list(long[0])


def check_shared_memory(kind, client):
    """Inputs and outputs of a model of tensors and of one of text, in memory."""
    values = np.arange(16, dtype=np.int32)
    size = values.nbytes
    text = serialize_byte_tensor(np.array([PROMPT], dtype=object))
    text_size = len(text.item())
    sizes = {"stator_in": 2 * size, "stator_out": size, "stator_text": text_size, "stator_told": 4096}
    handles = {}
    try:
        for name, length in sizes.items():
            handles[name] = shm.create_shared_memory_region(name, f"/{name}", length)
            client.register_system_shared_memory(name, f"/{name}", length)
        shm.set_shared_memory_region(handles["stator_in"], [values, values])
        shm.set_shared_memory_region(handles["stator_text"], [text])
        inputs = [kind.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
        for at, given in enumerate(inputs):
            given.set_shared_memory("stator_in", size, offset=at * size)
        output = kind.InferRequestedOutput("OUTPUT0")
        output.set_shared_memory("stator_out", size)
        client.infer("simple", inputs, outputs=[output])
        sums = shm.get_contents_as_numpy(handles["stator_out"], np.int32, [16])
        assert (sums == 2 * values).all(), sums
        prompt = kind.InferInput("text_input", [1], "BYTES")
        prompt.set_shared_memory("stator_text", text_size)
        answer = client.infer(TEXT, [prompt], outputs=wanted(kind), parameters=GREEDY)
        output = kind.InferRequestedOutput("text_output")
        output.set_shared_memory("stator_told", 4096)
        client.infer(TEXT, [prompt], outputs=[output], parameters=GREEDY)
        words = shm.get_contents_as_numpy(handles["stator_told"], np.object_, [1])
        assert words[0].decode() == told(answer)[0], words
        prompt.set_shared_memory("stator_text", text_size + 1)
        refused(lambda: client.infer(TEXT, [prompt], parameters=GREEDY), "stator_text")
        return told(answer)
    finally:
        client.unregister_system_shared_memory()
        for handle in handles.values():
            shm.destroy_shared_memory_region(handle)


def check_streams(client):
    """Many requests at once on one stream, a mistake among them, and a stream that is cancelled."""
    stream = Stream(client)
    for at in range(20):
        values = np.array([at, at + 100, at + 200], dtype=np.int32)
        inputs = [
            tensor(grpc, "IN", values, "INT32"),
            tensor(grpc, "DELAY", np.array([20, 20, 20], dtype=np.uint32), "UINT32"),
            tensor(grpc, "WAIT", np.array([0], dtype=np.uint32), "UINT32"),
        ]
        client.async_stream_infer("repeat_int32", inputs, request_id=str(at), enable_empty_final_response=True)
    client.async_stream_infer("nobody", [prompts(grpc, "x")], request_id="wrong")
    came, done, mistakes = {}, set(), []
    while len(done) < 20 or not mistakes:
        answer = stream.next()
        if isinstance(answer, InferenceServerException):
            mistakes.append(str(answer))
            continue
        response = answer.get_response()
        if response.parameters["triton_final_response"].bool_param and not response.outputs:
            done.add(response.id)
        else:
            came.setdefault(response.id, []).append(int(answer.as_numpy("OUT")[0]))
    assert came == {str(at): [at, at + 100, at + 200] for at in range(20)}, came
    assert len(mistakes) == 1 and "wrong" in mistakes[0] and "unknown model" in mistakes[0], mistakes
    client.async_stream_infer(TEXT, [prompts(grpc, "x")], request_id="after", parameters={"max_tokens": 1})
    assert stream.next().get_response().id == "after"
    client.async_stream_infer(TEXT, [prompts(grpc, "x")], parameters={"max_tokens": 2000, "ignore_eos": True})
    client.stop_stream(cancel_requests=True)
    assert client.is_server_ready()


def stream_text(client):
    """The text of a streamed answer, its ids and its end, put together."""
    stream = Stream(client)
    given = [prompts(grpc, PROMPT), tensor(grpc, "stream", np.array([True]), "BOOL")]
    client.async_stream_infer(TEXT, given, outputs=wanted(grpc), request_id="s", parameters=GREEDY)
    text, ids, finish = "", [], None
    while finish is None:
        answer = stream.next()
        assert not isinstance(answer, Exception), answer
        text += answer.as_numpy("text_output")[0].decode()
        ids += [each for each in answer.as_numpy("token_ids")[0].tolist() if each >= 0]
        finish = answer.as_numpy("finish_reason")
    client.stop_stream()
    return text, ids, finish[0].decode()


async def ask_aio(kind, aio, address):
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready(TEXT)
        answers = await asyncio.gather(
            *(client.infer(TEXT, [prompts(kind, PROMPT)], outputs=wanted(kind), parameters=GREEDY) for _ in range(8))
        )
        assert len({str(told(answer)) for answer in answers}) == 1
        return told(answers[0])


async def stream_aio():
    async def requests():
        given = [prompts(grpc, PROMPT), tensor(grpc, "stream", np.array([True]), "BOOL")]
        yield {"model_name": TEXT, "inputs": given, "parameters": GREEDY, "request_id": "a"}

    async with grpc_aio.InferenceServerClient(GRPC) as client:
        text = ""
        async for answer, error in client.stream_infer(inputs_iterator=requests()):
            assert error is None, error
            text += answer.as_numpy("text_output")[0].decode()
        return text


def main():
    clients = {"grpc": (grpc, grpc.InferenceServerClient(GRPC)), "http": (http, http.InferenceServerClient(HTTP))}
    said = {}
    for name, (kind, client) in clients.items():
        for check in (check_about, check_operators, check_mistakes, check_tensors):
            check(kind, client)
            print(name, check.__name__)
        said[name] = told(client.infer(TEXT, [prompts(kind, PROMPT)], outputs=wanted(kind), parameters=GREEDY))
        said[f"{name}, shared memory"] = check_shared_memory(kind, client)
        print(name, "check_shared_memory")
    _, client = clients["grpc"]
    check_streams(client)
    print("grpc check_streams")
    said["stream"] = stream_text(client)
    said["grpc, aio"] = asyncio.run(ask_aio(grpc, grpc_aio, GRPC))
    said["http, aio"] = asyncio.run(ask_aio(http, http_aio, HTTP))
    assert len({str(each) for each in said.values()}) == 1, said
    assert asyncio.run(stream_aio()) == said["grpc"][0]
    print("every way says the same")


main()
