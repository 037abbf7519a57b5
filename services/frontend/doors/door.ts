import type { JsonBounds } from "#lib/api/json-bounds";
import type { ApiRoute } from "#lib/api/routes";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { AnswerPrinter, BodyPrinter, EmbeddingPrinter } from "#lib/serving/answer";
import type { Ask, LinkAsk } from "#lib/serving/ask";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { StopStrings } from "#lib/text/stop";
import type { AskedSampling } from "#lib/tokens/sampling";
import type { ModelText, TemplateConversation } from "../text/model-text.ts";
import type { HttpAnswer, PrintError } from "./reply.ts";

/** An ask as far as the bytes of a request say it: names, the trace and what is usual with the model come behind. */
export interface DoorAsk
  extends Omit<Ask<TemplateConversation>, "requestId" | "route" | "adapter" | "sampling" | "traceparent"> {
  /** How tokens are drawn, as far as the request says it. */
  readonly sampling: AskedSampling;
}

/** What a door reads. Everything in it is data: it may come from another thread. */
export interface Asked<Form> {
  /** What is asked for, as far as the bytes say it. */
  readonly ask: DoorAsk;
  /** The answer comes as events. */
  readonly stream: boolean;
  /** Each event tells the usage so far. */
  readonly soFar: boolean;
  /** Each token is told by itself, for who tells their ids; with log-probabilities it is in any case. */
  readonly byToken: boolean;
  /** Each choice begins with its prompt. */
  readonly echo: boolean;
  /** The answer is the prompt alone: what a worker draws all the same is dropped. */
  readonly promptOnly: boolean;
  /** Numbers that an embedding has to have; undefined: as many as the model makes. */
  readonly dimensions: number | undefined;
  /** Fields that were taken and have no effect. */
  readonly ignored: readonly string[];
  /** What else its printers go by; small, whatever was sent. */
  readonly form: Form;
}

/** What a door calls the things of an ask, for a caller whose ask does not fit the model. */
export interface DoorWords {
  /** The messages, prompts or inputs. */
  readonly input: string;
  /** Tokens that end an answer. */
  readonly stopTokens: string;
  /** Tokens whose logits are changed. */
  readonly biasTokens: string;
  /** That choices begin with their prompts. */
  readonly echo: string;
  /** Numbers of an embedding. */
  readonly dimensions: string;
  /** Log-probabilities of tokens. */
  readonly logprobs: string;
  /** Ids of an answer's tokens. */
  readonly tokens: string;
  /** The kinds of guidance that it can ask for. */
  readonly guidance: Readonly<Partial<Record<Guidance["kind"], string>>>;
}

/** What is known of a request before its body is read. All of it is data: it may go to another thread. */
export interface Around {
  /** What its path has in the place of each part in braces. */
  readonly parts: Readonly<Record<string, string>>;
  /** Of the headers that its door takes those that it has. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the model can do that its path names; undefined where no part of the path is a model. */
  readonly features: ModelFeatures | undefined;
}

/** What is known of a request that says everything in its body. */
export const NOTHING_AROUND: Around = { parts: {}, headers: {}, features: undefined };

/** From bytes to an ask, for a door whose requests are bytes. */
export interface DoorReader<Form> {
  /** `import.meta.url` of its module, which exports it as `reader`: the thread that reads long bodies finds it there. */
  readonly module: string;
  /** Reads a body; `bounds` are set for a long one. Throws what is wrong with it. */
  read(bytes: Uint8Array, bounds: JsonBounds | undefined, around: Around): Asked<Form>;
}

/** An ask that is ready to run, and what its tokens are to become. It keeps everything. */
export interface AnswerPlan {
  /** What the workers do. */
  readonly ask: LinkAsk;
  /** How their tokens become text. Borrowed. */
  readonly text: ModelText;
  /** When it was planned. */
  readonly createdUnixSeconds: number;
  /** Choices in all: prompts times choices per prompt. */
  readonly choices: number;
  /** Compiled once for all choices; undefined without stop texts. */
  readonly stops: StopStrings | undefined;
  /** Text that begins the choices of each prompt; undefined without echo. */
  readonly leads: readonly string[] | undefined;
  /** Each token is told by itself, with its log-probabilities where those were asked for. */
  readonly scored: boolean;
  /** The answer is the prompt alone. */
  readonly promptOnly: boolean;
  /** Each event tells the usage so far. */
  readonly soFar: boolean;
}

/** From answer events to bytes: one printer for each way of answering that its reader lets callers ask for. */
export interface DoorPrinters<Form, Printed, Whole = Printed> {
  /** Prints one streamed answer. */
  events?(plan: AnswerPlan, form: Form): AnswerPrinter<Printed>;
  /** Prints one answer that is told as a whole. */
  body?(plan: AnswerPlan, form: Form): BodyPrinter<Whole>;
  /** Prints the embeddings of one request. */
  embeddings?(plan: AnswerPlan, form: Form): EmbeddingPrinter<Whole>;
}

/** What callers ask in and are answered in. What happens between is the same for all doors. */
export interface Door<Form, Printed, Whole = Printed> {
  /** For counters and records; no other door has it. */
  readonly name: string;
  /** For the sentences of errors that are found behind the door. */
  readonly words: DoorWords;
  /** What its answers look like. */
  readonly printers: DoorPrinters<Form, Printed, Whole>;
}

/** A door of the HTTP port. */
export interface HttpDoor<Form> extends Door<Form, string, HttpAnswer> {
  /** Where it is, and what the document says of it. */
  readonly api: ApiRoute;
  /** What its bodies say. */
  readonly reader: DoorReader<Form>;
  /** How errors look in place of an answer. */
  readonly printError: PrintError;
  /** The part of its path that names the model: one that is not there is told before the body is read. */
  readonly modelPart?: string;
  /** Headers that its reader takes, in lower case. */
  readonly headers?: readonly string[];
  /** Its bodies may be `application/octet-stream`. */
  readonly binary?: true;
  /** Its requests are of tensors: some go past it to models that only have these, and some are in shared memory. */
  readonly tensors?: true;
}
