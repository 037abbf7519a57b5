import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** A certificate and its private key in PEM, made for one test run and never stored. */
export interface TestIdentity {
  readonly certificate: string;
  readonly key: string;
}

/** What a test certificate says. */
export interface CertificateOptions {
  /** Common name. */
  readonly name: string;
  /** Signs it; itself when absent. */
  readonly by?: TestAuthority;
  /** May sign others. */
  readonly authority?: boolean;
  /** Days from now at which it ends; negative is expired. */
  readonly days?: number;
}

/** A certificate that can sign others. */
export interface TestAuthority extends TestIdentity {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** An authority for one test run. */
export function createAuthority(name: string): TestAuthority {
  return createCertificate({ name, authority: true });
}

/** An identity for 127.0.0.1, ::1 and localhost, signed by an authority. */
export function createIdentity(name: string, by: TestAuthority, days?: number): TestIdentity {
  return createCertificate({ name, by, days });
}

function createCertificate({ name, by, authority = false, days = 1 }: CertificateOptions): TestAuthority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const startMs = Date.now() - 10 * 86_400_000;
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    // Its first byte is no zero: one run in some hundreds drew a number that DER writes shorter.
    integer(Buffer.concat([Buffer.from([1]), randomBytes(7)])),
    algorithm,
    nameOf(by?.name ?? name),
    sequence(time(startMs), time(Date.now() + days * 86_400_000)),
    nameOf(name),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensions(authority))),
  );
  const signature = sign("sha256", body, by?.privateKey ?? privateKey);
  const certificate = sequence(body, algorithm, bits(signature)).toString("base64");
  return {
    name,
    privateKey,
    certificate: `-----BEGIN CERTIFICATE-----\n${certificate.match(/.{1,64}/g)!.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function extensions(authority: boolean): Buffer[] {
  const basic = extension("2.5.29.19", authority ? sequence(der(0x01, Buffer.from([0xff]))) : sequence());
  if (authority) return [basic];
  const names = sequence(
    der(0x82, Buffer.from("localhost")),
    der(0x87, Buffer.from([127, 0, 0, 1])),
    der(0x87, Buffer.concat([Buffer.alloc(15), Buffer.from([1])])),
  );
  return [basic, extension("2.5.29.17", names)];
}

// X.509 in DER: every element is a tag, a length and its content (ITU-T X.690).

function der(tag: number, content: Buffer): Buffer {
  const size = content.byteLength;
  if (size < 128) return Buffer.concat([Buffer.from([tag, size]), content]);
  if (size < 256) return Buffer.concat([Buffer.from([tag, 0x81, size]), content]);
  return Buffer.concat([Buffer.from([tag, 0x82, size >> 8, size & 255]), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function tagged(tag: number, content: Buffer): Buffer {
  return der(tag, content);
}

function integer(value: Buffer): Buffer {
  // A leading zero keeps it positive.
  return der(0x02, Buffer.concat([Buffer.from([0]), value]).subarray((value[0] ?? 0) & 0x80 ? 0 : 1));
}

function bits(value: Buffer): Buffer {
  return der(0x03, Buffer.concat([Buffer.from([0]), value]));
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 127];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 127) | 128);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

function nameOf(common: string): Buffer {
  return sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(common)))));
}

function time(unixMs: number): Buffer {
  const digits = new Date(unixMs).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), der(0x04, value));
}
