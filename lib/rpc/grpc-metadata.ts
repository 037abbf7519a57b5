import { Metadata as GrpcMetadata } from "@grpc/grpc-js";
import type { Metadata, MetadataInit } from "./metadata.ts";

/** Text headers of a grpc-js metadata object. Borrows it. */
export function fromGrpcMetadata(metadata: GrpcMetadata): Metadata {
  const all = (name: string) => metadata.get(name).filter((value) => typeof value === "string");
  return { get: (name) => all(name)[0], all };
}

/** A grpc-js metadata object with these text headers. */
export function toGrpcMetadata(values: MetadataInit): GrpcMetadata {
  const metadata = new GrpcMetadata();
  for (const [name, value] of Object.entries(values)) metadata.set(name, value);
  return metadata;
}
