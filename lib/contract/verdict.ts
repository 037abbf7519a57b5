/** What a change does to somebody: they fail, they work unless what is said of it is true of them, or they notice nothing. */
export type Verdict = "breaks" | "careful" | "safe";

/** A verdict and why, as half a sentence; empty where it is safe. */
export type Effect = readonly [verdict: Verdict, why: string];

/** Nobody of them notices. */
export const SAFE: Effect = ["safe", ""];

/** They fail. */
export function breaks(why: string): Effect {
  return ["breaks", why];
}

/** They work, unless. */
export function careful(why: string): Effect {
  return ["careful", why];
}

/**
 * Whom a change can break, in the order in which it is told. `oldServers`: servers of the older contract under callers of
 * the newer. `newServers`: servers of the newer contract under callers of the older. `json`: whoever reads or writes the
 * JSON form. `stubs`: code written against generated stubs, when they are generated again.
 */
export const PARTIES = ["oldServers", "newServers", "json", "stubs"] as const;

/** One of them. */
export type Party = (typeof PARTIES)[number];

/** What a change does to each of them. */
export type Effects = Readonly<Record<Party, Effect>>;

/** Who counts when a check decides: programs that speak the binary form, readers of JSON, code over stubs. */
export const AUDIENCES = ["servers", "json", "stubs"] as const;

/** One of them. */
export type Audience = (typeof AUDIENCES)[number];

/** The audience that a party is of. */
export const AUDIENCE_OF: Readonly<Record<Party, Audience>> = {
  oldServers: "servers",
  newServers: "servers",
  json: "json",
  stubs: "stubs",
};

const ORDER: Readonly<Record<Verdict, number>> = { safe: 0, careful: 1, breaks: 2 };

/** The worse of two effects; both reasons where they are equally bad and differ. */
export function worse(left: Effect, right: Effect): Effect {
  if (ORDER[left[0]] !== ORDER[right[0]]) return ORDER[left[0]] > ORDER[right[0]] ? left : right;
  return left[1] === right[1] ? left : [left[0], `${left[1]}; ${right[1]}`];
}

/** The worst verdict of a change. */
export function worstOf(effects: Effects): Verdict {
  const verdicts = PARTIES.map((party) => effects[party][0]);
  return verdicts.includes("breaks") ? "breaks" : verdicts.includes("careful") ? "careful" : "safe";
}
