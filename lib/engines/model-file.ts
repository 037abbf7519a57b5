import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { StatorError } from "#lib/base/errors";
import { badModelFile, GGUF_LIMITS, type GgufHeader, ggufString, readGgufHeader } from "#lib/text/gguf";
import { checkGgufTensors } from "#lib/text/gguf-tensors";
import {
  chatTemplateOf,
  checkVocabularyKeys,
  extractVocabulary,
  readVocabulary,
  TEMPLATE_FORMAT,
  VOCABULARY_FORMAT,
  type Vocabulary,
} from "#lib/text/vocabulary";
import type { EngineArtifact } from "./engine.ts";

const FIRST_READ_BYTES = 1 << 20;

/** SHA-256 of bytes, 32 bytes. */
export function sha256(...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** SHA-256 of a file, read in pieces. Throws FILE_NOT_FOUND, or BAD_MODEL_FILE when it cannot be read. */
export async function digestFile(path: string): Promise<Uint8Array> {
  const hash = createHash("sha256");
  try {
    for await (const piece of createReadStream(path, { highWaterMark: FIRST_READ_BYTES })) hash.update(piece as Buffer);
  } catch (caught) {
    throw fileError(path, caught);
  }
  return new Uint8Array(hash.digest());
}

function fileError(path: string, caught: unknown): StatorError {
  const code = caught instanceof Error && "code" in caught ? String(caught.code) : "";
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new StatorError("FILE_NOT_FOUND", { path, hint: "Give the path of a GGUF file." }, { cause: caught });
  }
  const detail = code === "EISDIR" ? "it is a folder" : `it cannot be read${code && ` (${code})`}`;
  return badModelFile(path, detail, { cause: caught });
}

/** Reads from the start of a file, twice as much each time, until `parse` makes something of it. */
async function readFromStart<Read>(
  path: string,
  parse: (bytes: Uint8Array, fileBytes: number) => Read | undefined,
): Promise<Read> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (caught) {
    throw fileError(path, caught);
  }
  try {
    const { size } = await file.stat();
    const most = Math.min(size, GGUF_LIMITS.headerBytes);
    // It grows in place: memory of copies that were read before would stay with the process.
    const buffer = new ArrayBuffer(0, { maxByteLength: most });
    const bytes = new Uint8Array(buffer);
    for (let length = Math.min(FIRST_READ_BYTES, most), read = 0; ; length = Math.min(length * 2, most)) {
      buffer.resize(length);
      const { bytesRead } = await file.read(bytes, read, length - read, read);
      read += bytesRead;
      const found = parse(bytes.subarray(0, read), size);
      if (found) return found;
      if (length >= most) {
        throw badModelFile(path, "it ends in the middle of its header");
      }
    }
  } catch (caught) {
    throw caught instanceof StatorError ? caught : fileError(path, caught);
  } finally {
    await file.close();
  }
}

/**
 * Reads the metadata of a GGUF file. Throws FILE_NOT_FOUND, or BAD_MODEL_FILE with the reason in a few words: not a GGUF
 * file, cut short, a folder, not readable.
 */
export function readModelHeader(path: string): Promise<GgufHeader> {
  return readFromStart(path, (bytes) => readGgufHeader(bytes, path).header);
}

/**
 * Checks what a file's first bytes tell of a model that is to be loaded: its metadata, the kind of its vocabulary, and that
 * all of its tensors are in the file. It takes milliseconds; what is left to find is found by the load. Throws
 * FILE_NOT_FOUND, BAD_MODEL_FILE, or UNSUPPORTED_FEATURE for a foreign kind of tokenizer.
 */
export async function checkModelFile(path: string): Promise<void> {
  const isFile = await stat(path).then(
    (found) => found.isFile() || found.isDirectory(),
    () => true,
  );
  // Whoever opens a pipe waits for a writer, maybe for ever.
  if (!isFile) throw badModelFile(path, "it is not a file");
  await readFromStart(path, (bytes, fileBytes) => {
    const { header } = readGgufHeader(bytes, path);
    if (!header) return undefined;
    const detail = lacks(header);
    if (detail) throw badModelFile(path, detail);
    checkVocabularyKeys(header);
    return checkGgufTensors(header, bytes, fileBytes) ? undefined : header;
  });
}

/** What every model has. */
function lacks(header: GgufHeader): string | undefined {
  const architecture = ggufString(header, "general.architecture");
  if (architecture === undefined) return "it names no architecture";
  if (header.tensors === 0) return "it holds no tensors";
  const isThere = header.entries.has(`${architecture}.block_count`);
  return isThere ? undefined : `it tells nothing about its architecture ${architecture.slice(0, 40)}`;
}

/** What callers need of a model's text: its vocabulary as a file of its own, and its chat template where it has one. */
export function textArtifacts(header: GgufHeader): { vocabulary: Vocabulary; artifacts: readonly EngineArtifact[] } {
  const vocabulary = readVocabulary(header);
  const content = extractVocabulary(header, vocabulary);
  const artifacts: EngineArtifact[] = [
    { kind: "tokenizer", format: VOCABULARY_FORMAT, digest: sha256(content), content },
  ];
  const template = chatTemplateOf(header);
  if (template !== undefined) {
    const bytes = new TextEncoder().encode(template);
    artifacts.push({ kind: "template", format: TEMPLATE_FORMAT, digest: sha256(bytes), content: bytes });
  }
  return { vocabulary, artifacts };
}
