import { describe, expect, it } from "vitest";
import { isSafe, type Method, noRoute, Router } from "./router.ts";

const route = (method: Method, path: string, name = `${method} ${path}`) => ({ method, path, name, handler() {} });

const router = new Router([
  route("GET", "/"),
  route("GET", "/v1/models"),
  route("GET", "/v1/models/{id...}"),
  route("POST", "/v1/chat/completions"),
  route("GET", "/v2/models/stats"),
  route("GET", "/v2/models/{model}"),
  route("GET", "/v2/models/{model}/ready"),
  route("POST", "/v2/models/{name}/infer"),
  route("POST", "/v2/models/{model}/versions/{version}/infer"),
  route("GET", "/v2/region/{region}"),
  route("POST", "/v2/region/{name}"),
  route("DELETE", "/v2/region/{region}"),
  route("GET", "/v2/files/{folder}/index"),
  route("GET", "/v2/files/{path...}"),
]);

/** Name of the route, and its parts as JSON. */
function ask(target: string, method = "GET"): string {
  const found = router.find(method, target);
  if (!found) return "none";
  return `${found.route.name}${found.taken ? "" : " not taken"} ${JSON.stringify(found.parts)}`;
}

describe("a path", () => {
  it.each([
    ["/", "GET / {}"],
    ["/v1/models", "GET /v1/models {}"],
    ["/v1/models/", "GET /v1/models {}"],
    ["/v1/models?a=/x", "GET /v1/models {}"],
    ["http://host:1/v1/models?x", "GET /v1/models {}"],
    ["/v2/models/m", 'GET /v2/models/{model} {"model":"m"}'],
    ["/v2/models/m/ready/", 'GET /v2/models/{model}/ready {"model":"m"}'],
    ["/v2/models/a%2Fb%20c/ready", 'GET /v2/models/{model}/ready {"model":"a/b c"}'],
    ["/v1/models/org/name", 'GET /v1/models/{id...} {"id":"org/name"}'],
    ["/v1/models/org%2Fname", 'GET /v1/models/{id...} {"id":"org/name"}'],
  ])("%s comes to its route", (target, expected) => {
    expect(ask(target)).toBe(expected);
  });

  it.each([
    ["/v2/models/stats", "GET /v2/models/stats {}"],
    ["/v2/models/stats/ready", 'GET /v2/models/{model}/ready {"model":"stats"}'],
    ["/v2/files/a/index", 'GET /v2/files/{folder}/index {"folder":"a"}'],
    ["/v2/files/a/b/index", 'GET /v2/files/{path...} {"path":"a/b/index"}'],
    ["/v2/files/a", 'GET /v2/files/{path...} {"path":"a"}'],
    ["/v2/files/a//index", 'GET /v2/files/{path...} {"path":"a//index"}'],
  ])(
    "%s goes by a name before a part, by a part before a rest, and by the next where that leads nowhere",
    (target, to) => {
      expect(ask(target)).toBe(to);
    },
  );

  it.each([
    "",
    "v1/models",
    "*",
    "http://host",
    "/v1",
    "/v1/models//",
    "/V1/models",
    "/v2/models",
    "/v2/models//ready",
    "/v2/models/m/ready/more",
    "/v2/models/%zz",
    "/v1/models/%zz/x",
    "/v1/mod%65ls",
    "/v2/models/{model}/other",
    "/__proto__",
  ])("%j has no route", (target) => {
    expect(ask(target)).toBe("none");
  });

  it("may be as long as a request, and is as quickly refused", () => {
    expect(ask(`/v2/models/${"x/".repeat(16_000)}`)).toBe("none");
    expect(ask(`/v1/models/${"x/".repeat(16_000)}x`)).toContain("/v1/models/{id...}");
  });

  it("is told in an error short and printable", () => {
    const { facts } = noRoute("GET", `/ö${"x".repeat(300)}?q=1`);
    expect(facts).toEqual({ method: "GET", path: `/?${"x".repeat(126)}` });
  });
});

describe("a method", () => {
  it("has its own route at one path, with its own names", () => {
    expect(ask("/v2/region/r")).toBe('GET /v2/region/{region} {"region":"r"}');
    expect(ask("/v2/region/r", "HEAD")).toBe('GET /v2/region/{region} {"region":"r"}');
    expect(ask("/v2/region/r", "POST")).toBe('POST /v2/region/{name} {"name":"r"}');
    expect(ask("/v2/region/r", "DELETE")).toBe('DELETE /v2/region/{region} {"region":"r"}');
    expect(ask("/v2/models/m/versions/1/infer", "POST")).toContain('{"model":"m","version":"1"}');
  });

  it("that the path does not take finds the path's first route, and what it takes", () => {
    expect(ask("/v2/region/r", "PATCH")).toBe('GET /v2/region/{region} not taken {"region":"r"}');
    expect(router.find("PATCH", "/v2/region/r")?.allow).toBe("GET, HEAD, POST, DELETE, OPTIONS");
    expect(router.find("HEAD", "/v1/chat/completions")).toMatchObject({ taken: false, allow: "POST, OPTIONS" });
    expect(router.find("OPTIONS", "/v1/models")).toMatchObject({ taken: false, allow: "GET, HEAD, OPTIONS" });
  });

  it("is safe or changes something", () => {
    expect(["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH", "BREW"].map(isSafe)).toEqual([
      ...[true, true, true],
      ...[false, false, false, false],
    ]);
  });
});

describe("a table of routes", () => {
  it.each([
    [["/a/{x}", "/a/{y}"], "GET /a/{y} is there twice"],
    [["/a/{x...}/b"], "goes on behind its rest"],
    [["/a/{x}/{x}"], "two parts of one name"],
    [["/a/"], "neither a name nor a part"],
    [["/a/x{y}"], "neither a name nor a part"],
  ])("%j is a bug", (paths, why) => {
    expect(() => new Router(paths.map((path) => route("GET", path)))).toThrow(why);
  });
});
