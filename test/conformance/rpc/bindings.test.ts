import { describeBytes } from "./byte-suite.ts";
import { connectRig, openDirectRig, openGrpcRig } from "./rigs.ts";
import { describeBinding } from "./suite.ts";

describeBinding("grpc", (lab) => openGrpcRig(lab));
describeBinding("direct", openDirectRig, { unlimited: true, proven: true });
describeBinding("connect, Connect protocol", connectRig("connect"), { publicOnly: true });
describeBinding("connect, gRPC-Web protocol", connectRig("grpc-web"), { publicOnly: true });
describeBinding("connect, gRPC protocol", connectRig("grpc"), { publicOnly: true });

describeBytes("grpc", (lab) => openGrpcRig(lab), { opaque: true });
describeBytes("direct", openDirectRig);
describeBytes("connect, Connect protocol", connectRig("connect"), { messagesOnly: true });
describeBytes("connect, gRPC-Web protocol", connectRig("grpc-web"), { messagesOnly: true });
describeBytes("connect, gRPC protocol", connectRig("grpc"), { messagesOnly: true });
