import { expect, test } from "vitest";
import { withoutLogin } from "./url-login.ts";

test("a login is hidden, however it is written, and everything else stays", () => {
  for (const login of ["me:secret", "secret", "me:sec/ret", "me:sec@ret", "me:sec\nret"]) {
    expect(withoutLogin(`etcd://${login}@host:2379,other/root`)).toBe("etcd://…@host:2379,other/root");
  }
  for (const plain of ["hub://127.0.0.1:8005", "file:///data@home", "me@example.org", "", "a/b//c"]) {
    expect(withoutLogin(plain)).toBe(plain);
  }
});
