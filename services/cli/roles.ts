/** What the tree of processes knows of one kind of them. */
export interface ProcessRole {
  /** Its turn when all are drained, from 1: who answers people goes before those that it needs, equal ones together. */
  readonly drains: number;
  /** When one of them has shown that its kind can work here: once it is ready, or once a request would be answered by it. */
  readonly provenWhen: "ready" | "routable";
  /**
   * The flags of the ports where its clients look for it, in the order in which it tells them: it keeps the ports when it
   * is started again.
   */
  readonly portFlags: readonly string[];
}

/** Every kind of process that `stator up` starts. */
export const ROLES = {
  frontend: { drains: 1, provenWhen: "routable", portFlags: ["--http-port", "--grpc-port"] },
  worker: { drains: 2, provenWhen: "ready", portFlags: [] },
} as const satisfies Readonly<Record<string, ProcessRole>>;

/** The name of a kind. */
export type RoleName = keyof typeof ROLES;
