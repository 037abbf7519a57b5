// npm run contract:accept: makes the contracts of this checkout the ones that later changes must stay compatible with.
// With `-- --release 0.1.0` it keeps the image under that name as well, for ever.
import path from "node:path";
import { root } from "../run-tool.ts";
import { acceptedImage, buildImage, releasedImage } from "./contracts.ts";

const [option, version] = process.argv.slice(2);
if (option !== undefined && (option !== "--release" || version === undefined)) {
  process.stderr.write("Usage: npm run contract:accept [-- --release VERSION]\n");
  process.exitCode = 2;
} else {
  for (const file of [acceptedImage, ...(version === undefined ? [] : [releasedImage(version)])]) {
    buildImage(file);
    process.stdout.write(`written: ${path.relative(root, file)}\n`);
  }
}
