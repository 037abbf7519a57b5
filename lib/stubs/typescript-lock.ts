/**
 * The plugin for TypeScript with all that it needs, as a lock of npm has it: digests, and no place to download from. A test
 * holds it to package-lock.json.
 */
export const TYPESCRIPT_LOCK = {
  "node_modules/@bufbuild/protobuf": {
    version: "2.17.0",
    integrity: "sha512-hcPkSz6D7MiTU/5VBBhK+kxaYDoOdQ6yJRFJ3kS8Nydp+VZXfg1vrpABKPNod8bXMufsVCmiUJVIKFzCzta4uw==",
  },
  "node_modules/@bufbuild/protoc-gen-es": {
    version: "2.17.0",
    integrity: "sha512-Uk8Hx145z76lDOEPhWChy53jtKITUnqG0vASuOiRybbZbBbx4oho9JDqt8QZsHemeTCNl6q4yy4Qpc2iV5outQ==",
    dependencies: { "@bufbuild/protobuf": "2.17.0", "@bufbuild/protoplugin": "2.17.0" },
  },
  "node_modules/@bufbuild/protoplugin": {
    version: "2.17.0",
    integrity: "sha512-4ExU8AGygKkwIx3U8D5kyBOn9rcCM1qnj4wCP95RbP1CRe73QvVGHQ/lOp6IQiyvQMh9BGrYGht+ZDa8gwC2fg==",
    dependencies: { "@bufbuild/protobuf": "2.17.0", "@typescript/vfs": "^1.6.2", typescript: "5.4.5" },
  },
  "node_modules/@bufbuild/protoplugin/node_modules/typescript": {
    version: "5.4.5",
    integrity: "sha512-vcI4UpRgg81oIRUFwR0WSIHKt11nJ7SAVlYNIu+QpqeyXP+gpQJy/Z4+F0aGxSE4MqwjyXvW/TzgkLAx2AGHwQ==",
  },
  "node_modules/@typescript/vfs": {
    version: "1.6.6",
    integrity: "sha512-gXw0+tpchiQUjTcbnNIPnyLFIhbwJ7M1VaxLQ1vXhjQxtTBK3sdDLY1ih0jxCu1I5K3V0dDxq8CkVZtIMspC3A==",
    dependencies: { debug: "^4.4.3" },
  },
  "node_modules/debug": {
    version: "4.4.3",
    integrity: "sha512-RGwwWnwQvkVfavKVt22FGLw+xYSdzARwm0ru6DhTVA3umU5hZc28V3kO4stgYryrTlLpuvgI9GiijltAjNbcqA==",
    dependencies: { ms: "^2.1.3" },
  },
  "node_modules/ms": {
    version: "2.1.3",
    integrity: "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==",
  },
} as const;
