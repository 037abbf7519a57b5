/** A text without what stands between // and the last @ in it: the login of a URL. A path that begins there is none. */
export function withoutLogin(text: string): string {
  return text.replace(/(?<!\/)\/\/(?!\/).*@/s, "//…@");
}
