import os
import unittest

import grpc
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import service

HUB = os.environ.get("STATOR_HUB", "")


def count(address: str, text: str) -> int:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            f"/{service.SERVICE}/Count",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int64Value.FromString,
        )
        return call(StringValue(value=text), timeout=10).value


class ServiceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.server, self.address = service.serve()

    def tearDown(self) -> None:
        self.server.stop(grace=None).wait()

    def test_counts_words(self) -> None:
        self.assertEqual(count(self.address, "once upon a time"), 4)

    @unittest.skipUnless(HUB, "set STATOR_HUB=HOST:PORT; `npx stator hub --hub-port 8005` starts one")
    def test_is_found_until_it_is_closed(self) -> None:
        announcement = service.Announcement(HUB, self.address, [service.SERVICE])
        self.assertIn(self.address, service.find(HUB, service.SERVICE))
        announcement.close()
        self.assertNotIn(self.address, service.find(HUB, service.SERVICE))


if __name__ == "__main__":
    unittest.main()
