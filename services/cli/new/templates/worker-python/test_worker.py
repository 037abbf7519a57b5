"""Starts the worker, asks it for twelve tokens, and tells it to end: python3 -m unittest"""

import pathlib, subprocess, sys, unittest

import grpc
from openengine.v1 import generation_pb2, openengine_pb2_grpc


class WorkerTest(unittest.TestCase):
    def test_answers_and_drains(self):
        program = pathlib.Path(__file__).with_name("link_worker.py")
        command = [sys.executable, program, "--model", "mine"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            address = worker.stdout.readline().split()[-1]
            worker.stdout.readline()  # says that it is ready
            request = generation_pb2.GenerateRequest(request_id="1", prompt="Once upon", stopping={"max_tokens": 12})
            with grpc.insecure_channel(address) as channel:
                stub = openengine_pb2_grpc.InferenceStub(channel)
                answer = list(stub.Generate(request, wait_for_ready=True))
            self.assertEqual(12, answer[-1].usage.completion_tokens)
            self.assertEqual(12, len("".join(message.token.text for message in answer)))
            worker.terminate()
            self.assertEqual(0, worker.wait(10))


if __name__ == "__main__":
    unittest.main()
