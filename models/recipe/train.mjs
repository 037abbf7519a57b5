// Makes the demo model anew, from nothing to the file: npm run train:demo-model -- [options].
// Works in a folder of its own and never touches the model of the repository. Plain JavaScript for any Node from 20 on.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

const RECIPE = import.meta.dirname;
const ROOT = path.join(RECIPE, "../..");

const HELP = `Makes the demo model anew: corpus, vocabulary, training, file. 34 minutes on two idle cores.

  npm run train:demo-model -- [options]

  --folder PATH      where everything is written          default .cache/demo-model
  --documents N      documents of the training text       default 200000
  --seed N           seed of the text                     default 2026
  --vocabulary N     tokens                               default 2048
  --steps N          training steps                       default 3821
  --seconds N        end the training by then             default none
  --threads N        threads of the training              default 2
  --tiny             a model of no use in two minutes, to see that every step works
  --python PATH      a Python 3.10 or newer with PyTorch and NumPy; default python3
  --help
`;

const { values: options } = parseArgs({
  options: {
    folder: { type: "string", default: path.join(ROOT, ".cache/demo-model") },
    documents: { type: "string" },
    seed: { type: "string", default: "2026" },
    vocabulary: { type: "string" },
    steps: { type: "string" },
    seconds: { type: "string" },
    threads: { type: "string", default: "2" },
    tiny: { type: "boolean", default: false },
    python: { type: "string", default: "python3" },
    help: { type: "boolean", default: false },
  },
});

const size = options.tiny
  ? { documents: "3000", vocabulary: "600", steps: "40", model: ["--layers", "1", "--inner", "128", "--batch", "4"] }
  : { documents: "200000", vocabulary: "2048", steps: "3821", model: [] };

function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}

/** What is missing on this machine, told in one sentence with what to do. */
function checkPython() {
  const probe = "import sys; assert sys.version_info >= (3, 10), 'Python 3.10 or newer'; import numpy, torch";
  const { error, status, stderr } = spawnSync(options.python, ["-c", probe], { encoding: "utf8" });
  if (error) stop(`There is no ${options.python}. Install Python 3.10 or newer, or name one with --python.`);
  if (status === 0) return;
  const last = stderr.trim().split("\n").at(-1);
  stop(
    `${options.python} cannot train (${last}). Install PyTorch and NumPy for it, in a folder of its own:\n` +
      "  python3 -m venv .cache/train && .cache/train/bin/pip install torch numpy\n" +
      "  npm run train:demo-model -- --python .cache/train/bin/python",
  );
}

function run(title, command, args) {
  console.log(`\n${title}`);
  const { status } = spawnSync(command, args, {
    cwd: options.folder,
    stdio: "inherit",
    env: { ...process.env, OMP_WAIT_POLICY: "passive", PYTHONDONTWRITEBYTECODE: "1" },
  });
  if (status !== 0) stop(`${title} failed.`);
}

function python(title, script, ...args) {
  run(title, options.python, [path.join(RECIPE, script), ...args]);
}

if (options.help) {
  console.log(HELP);
} else {
  checkPython();
  // A path that the caller wrote is relative to where the caller is.
  options.python = options.python.includes("/") ? path.resolve(options.python) : options.python;
  options.folder = path.resolve(options.folder);
  mkdirSync(options.folder, { recursive: true });
  const vocabulary = options.vocabulary ?? size.vocabulary;
  python("Text", "corpus.py", "--documents", options.documents ?? size.documents, "--seed", options.seed);
  python("Vocabulary", "bpe.py", "--size", vocabulary);
  const limit = options.seconds === undefined ? [] : ["--seconds", options.seconds];
  const steps = ["--steps", options.steps ?? size.steps, "--threads", options.threads, ...limit];
  python("Training", "train.py", "--vocabulary", vocabulary, ...steps, ...size.model);
  python("Weights", "dump.py");
  const node24 = path.join(ROOT, "tools/node24.mjs");
  run("File", process.execPath, [node24, path.join(RECIPE, "to-gguf.mjs")]);
  console.log(`\nTry it: npm start -- --model ${path.join(options.folder, "stator-demo-q8_0.gguf")}`);
}
