import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { systemClock } from "#lib/host/system-clock";
import { createAuthority, createIdentity } from "../../test/support/certificates.ts";
import {
  checkListen,
  dialCredentials,
  insecureCredentials,
  isLoopback,
  listenCredentials,
  loadTls,
  loopbackCredentials,
} from "./credentials.ts";

let folder: string;
const files: Record<string, { path: string }> = {};

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stator-tls-"));
  const authority = createAuthority("authority");
  const one = createIdentity("one", authority);
  const other = createIdentity("other", authority);
  const old = createIdentity("old", authority, -1);
  const texts = {
    authority: authority.certificate,
    certificate: one.certificate,
    key: one.key,
    otherKey: other.key,
    oldCertificate: old.certificate,
    oldKey: old.key,
    nonsense: "hello",
  };
  for (const [name, text] of Object.entries(texts)) {
    const file = path.join(folder, `${name}.pem`);
    writeFileSync(file, text);
    files[name] = { path: file };
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (caught) {
    const { reason, message } = caught as { reason?: string; message: string };
    return `${reason} ${message.replaceAll(`${folder}/`, "")}`;
  }
  return "nothing";
};

describe("TLS material", () => {
  test("is read from files and from text", () => {
    const { authority, certificate, key } = files;
    const mutual = loadTls({ authority, certificate, key, mutual: true }, systemClock);
    expect(listenCredentials(mutual)._isSecure()).toBe(true);
    expect(dialCredentials(mutual, "10.0.0.1:1").credentials._isSecure()).toBe(true);
  });

  test("that is wrong is named", () => {
    const { authority, certificate, key, otherKey, oldCertificate, oldKey, nonsense } = files;
    const missing = { path: `${folder}/absent.pem` };
    expect(refusal(() => loadTls({ certificate: missing, key }, systemClock))).toMatch(
      /^FILE_NOT_FOUND There is no file absent.pem\./,
    );
    expect(refusal(() => loadTls({ certificate, key: otherKey }, systemClock))).toBe(
      "BAD_CONFIG otherKey.pem is not the key of certificate.pem.",
    );
    expect(refusal(() => loadTls({ certificate: nonsense, key }, systemClock))).toBe(
      "BAD_CONFIG nonsense.pem is not a certificate in PEM.",
    );
    expect(refusal(() => loadTls({ certificate, key: nonsense }, systemClock))).toBe(
      "BAD_CONFIG nonsense.pem is not a private key in PEM.",
    );
    expect(refusal(() => loadTls({ certificate: oldCertificate, key: oldKey }, systemClock))).toMatch(
      /oldCertificate.pem expired on/,
    );
    const later = new FakeClock(Date.parse("2400-01-01"));
    expect(refusal(() => loadTls({ certificate, key }, later))).toMatch(/^BAD_CONFIG certificate.pem expired on/);
    expect(refusal(() => loadTls({ certificate }, systemClock))).toMatch(/given together/);
    expect(refusal(() => loadTls({ authority, mutual: true }, systemClock))).toMatch(/^BAD_CONFIG Mutual TLS needs/);
    expect(refusal(() => loadTls({}, systemClock))).toMatch(/^BAD_CONFIG TLS needs/);
    expect(refusal(() => listenCredentials(loadTls({ authority }, systemClock)))).toMatch(
      /^BAD_CONFIG Listening with TLS needs/,
    );
  });
});

test("plaintext leaves this machine only when somebody said so", () => {
  expect(refusal(() => checkListen(loopbackCredentials, "0.0.0.0", "--cert"))).toMatch(/^UNSAFE_LISTEN .*--cert/);
  expect(refusal(() => checkListen(loopbackCredentials, "127.0.0.2"))).toBe("nothing");
  expect(refusal(() => checkListen(insecureCredentials, "0.0.0.0"))).toBe("nothing");
  expect(refusal(() => dialCredentials(loopbackCredentials, "10.0.0.1:80"))).toMatch(/^BAD_CONFIG/);
  expect(refusal(() => dialCredentials(loopbackCredentials, "[::1]:80"))).toBe("nothing");
  expect(refusal(() => dialCredentials(insecureCredentials, "10.0.0.1:80"))).toBe("nothing");
  expect(["localhost", "[::1]", "127.1.2.3", "example.org", "0.0.0.0"].map(isLoopback)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});
