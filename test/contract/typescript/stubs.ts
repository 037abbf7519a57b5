import { readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { createRegistry, type DescFile } from "@bufbuild/protobuf";

const { CORPUS_STUBS } = process.env;
/** The only place that says where the generated code is: a package of stubs that was built, or what Stator itself uses. */
const FOLDER = CORPUS_STUBS ? pathToFileURL(`${CORPUS_STUBS}/`) : new URL("../../../gen/ts/", import.meta.url);

const names = readdirSync(FOLDER, { recursive: true, encoding: "utf8" }).filter((name) => /_pb\.[jt]s$/.test(name));
const modules = await Promise.all(names.map((name) => import(new URL(name, FOLDER).href)));
const files = modules.flatMap((exports) => Object.values(exports)).filter((one) => (one as DescFile).kind === "file");

/** Every message and service of the generated code by its full name. */
export const stubs = createRegistry(...(files as DescFile[]));
