import { expect, test } from "vitest";
import { systemClock } from "#lib/host/system-clock";
import type { Peer } from "#lib/rpc/call";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { type Credentials, loadTls } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createAuthority, createIdentity } from "../../support/certificates.ts";
import { EchoService } from "./echo.ts";
import { Lab } from "./lab.ts";
import { observed, openGrpcRig } from "./rigs.ts";
import { describeBinding } from "./suite.ts";

const authority = createAuthority("test authority");
const worker = createIdentity("worker-1", authority);
const pem = (text: string) => ({ pem: text });

const tls = loadTls(
  {
    certificate: pem(worker.certificate),
    key: pem(worker.key),
    authority: pem(authority.certificate),
  },
  systemClock,
);
const mutual = loadTls(
  {
    certificate: pem(worker.certificate),
    key: pem(worker.key),
    authority: pem(authority.certificate),
    mutual: true,
  },
  systemClock,
);

describeBinding("grpc over TLS", (lab) => openGrpcRig(lab, tls));
describeBinding("grpc over mutual TLS", (lab) => openGrpcRig(lab, mutual), { proven: true });

async function callMutual(dial: Credentials): Promise<{ answer: string; peer: Partial<Peer> }> {
  const lab = new Lab();
  const server = await openServer({
    host: "127.0.0.1",
    port: 0,
    credentials: mutual,
    services: [lab.service],
    ...observed(),
  });
  const channel = new Channel(server.address, dial, systemClock);
  try {
    const answer = await createClient(EchoService, channel).say({ value: "hi" }, { timeoutMs: 5_000 });
    const { proven, subject } = lab.peers[0] ?? {};
    return { answer: answer.value, peer: { proven, subject } };
  } finally {
    channel.close();
    await server.close();
  }
}

test("mutual TLS tells the handler who calls", async () => {
  expect(await callMutual(mutual)).toEqual({ answer: "hi", peer: { proven: true, subject: "worker-1" } });
});

test("mutual TLS refuses a caller without a certificate", async () => {
  await expect(callMutual(loadTls({ authority: pem(authority.certificate) }, systemClock))).rejects.toMatchObject({
    reason: "UNAVAILABLE",
  });
});

test("mutual TLS refuses a caller that another authority signed", async () => {
  const other = createAuthority("somebody else");
  const stranger = createIdentity("stranger", other);
  const dial = loadTls(
    {
      certificate: pem(stranger.certificate),
      key: pem(stranger.key),
      authority: pem(authority.certificate),
    },
    systemClock,
  );
  await expect(callMutual(dial)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
});

test("a caller refuses a server that its authority did not sign", async () => {
  const other = createAuthority("somebody else");
  await expect(callMutual(loadTls({ authority: pem(other.certificate) }, systemClock))).rejects.toMatchObject({
    reason: "UNAVAILABLE",
  });
});
