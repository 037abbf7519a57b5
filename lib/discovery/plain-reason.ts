/** Why somebody could not be reached, in few words, from the text of a gRPC library's error. */
export function plainReason(text: string): string {
  if (text.includes("ECONNREFUSED")) return "nobody listens there";
  if (text.includes("ENOTFOUND") || text.includes("Name resolution failed")) return "the name is unknown";
  if (text.includes("EHOSTUNREACH") || text.includes("ENETUNREACH")) return "there is no way to it";
  if (text.includes("Deadline exceeded")) return "it does not answer";
  const first = (text.split("\n")[0] ?? "").replace(/\.$/, "");
  return first.length > 200 ? `${first.slice(0, 200)}…` : first || "no reason given";
}
