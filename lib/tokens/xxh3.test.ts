import { expect, test } from "vitest";
import { xxh3 } from "./xxh3.ts";

const SEEDS = [0n, 1337n, 0x9e3779b97f4a7c15n];

/** Size in bytes, then the hash with each of the seeds, made by the reference implementation. */
const VECTORS: [number, ...string[]][] = [
  [0, "2d06800538d394c2", "d1f3e77444430ab9", "602b0e2cd6662c8b"],
  [1, "929e358d27ae3ee2", "746985130c5603bc", "968c4cd158c76e3c"],
  [2, "f18fee0bc85bf0a4", "8dc8f785b85d48e6", "fd7d4cf028ff630c"],
  [3, "4a73f5effa20eb3c", "e03e6093b2a85265", "8a395adf4f2601d4"],
  [4, "05b0bf5c25935caf", "d43e4702978e105b", "587ef766a73fc4de"],
  [7, "5cfe37f13991c884", "cabacc4bcb93cbbf", "b96849b57748f6f9"],
  [8, "ed254326890dca7c", "7196a5a0dadd77ad", "781c0f1b9265d237"],
  [9, "1ff3da722d460732", "c00d76f7defc8abd", "2bf5da0d5973a43b"],
  [15, "2a3e18890a2c3742", "315d38a4f83bc1fd", "00d6c39103f9f30a"],
  [16, "0a52b7a34e7de996", "1131949c0007590b", "1caea22ed5220d69"],
  [17, "8a232315239f3e73", "52b1c269a1c0aa12", "f8a65e749775352b"],
  [32, "9f94726b8234551a", "c9411fdd676e4e43", "1d6d60c2894addf4"],
  [33, "ed1b4bdc86357548", "94846677a590c055", "b74b0a43b2f5bd5f"],
  [64, "522ef906904f0c2f", "e54c0344efb64d26", "3227cb76d8abf024"],
  [65, "7bbc2bc04b30f0ec", "aa9101c86f7f9447", "ca1076b839bb9502"],
  [127, "d1bb50dd281f2a79", "a09bce513af60014", "0db3531dffcd944f"],
  [128, "46e28f6c4c852733", "116b0668ef6ec0c7", "1b5213dfa9204fbf"],
  [129, "75041878acb47f64", "ee419cfb1409bdbe", "2b1c6a3cbf7bdfee"],
  [200, "2a524444ec6f6dfc", "3ad338e0e39e4dab", "fe3e7bb4454257db"],
  [240, "92afa37e58b857e6", "3a742eb809defa1b", "1cd3114254018d48"],
  [241, "48905a7466055d44", "01593b459da2813c", "93e2f44bff994978"],
  [256, "c8dbbc34708eff7a", "d70d8fd2303ce2aa", "f6759ab9da5bad89"],
  [512, "ad4aca6104f77aba", "b6ec3ad6d5409820", "2decad67a80c6d94"],
  [1024, "71438ca41cb0823c", "0f3ad6aab160acb6", "20b074d5b0562b90"],
  [1025, "de7dd2780b0d0cd4", "0845480fd37c47a7", "3038d50819ee0a97"],
  [2048, "8d66deabd4c6d845", "8af23b147cc6fadf", "ac8c5febaacfdb16"],
  [4099, "e4a49389aa67c98b", "227647a39ea9409c", "518d0a41904a2861"],
  [33080, "aafa3cd8cab345d3", "a59a4b6891f27408", "8fbaca566ae633ec"],
];

test("every length path equals the reference, also on a misaligned view", () => {
  for (const [size, ...hashes] of VECTORS) {
    const memory = new Uint8Array(size + 1);
    const bytes = memory.subarray(1);
    for (let at = 0; at < size; at++) bytes[at] = ((at * 131 + 7) * (at + 3)) >> 2;
    const found = SEEDS.map((seed) => xxh3(bytes, seed).toString(16).padStart(16, "0"));
    expect(found, `size ${size}`).toEqual(hashes);
  }
});
