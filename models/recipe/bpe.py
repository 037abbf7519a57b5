"""Trains the byte-level BPE vocabulary on the start of the training text and encodes all of it.

Words are cut as GPT-2 does (for the letters that occur here), so the vocabulary works with the word rule "gpt-2".
"""

import argparse
import array
import collections
import json
import re

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>", "<|pad|>",
]
SPLIT_SPECIAL = re.compile("(" + "|".join(re.escape(text) for text in SPECIAL) + ")")
WORD = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z\u00c0-\u024f]+| ?[0-9]+| ?[^\sA-Za-z0-9\u00c0-\u024f]+|\s+(?!\S)|\s+"
)

# The vocabulary is trained on so many characters; more change nothing.
TRAINING_CHARACTERS = 6_000_000


def byte_characters():
    """The printable character that stands for each byte, as in GPT-2."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(others)}


BYTE_CHARACTER = byte_characters()


def as_characters(word):
    return [BYTE_CHARACTER[byte] for byte in word.encode()]


def words_of(text):
    for part in SPLIT_SPECIAL.split(text):
        if part not in SPECIAL:
            yield from WORD.findall(part)


def merge_word(word, left, right):
    """The word with every `left right` as one symbol."""
    merged, at = [], 0
    while at < len(word):
        if at + 1 < len(word) and word[at] == left and word[at + 1] == right:
            merged.append(left + right)
            at += 2
        else:
            merged.append(word[at])
            at += 1
    return merged


def train(text, size):
    """Learns merges on the counts of unique words until the vocabulary, special tokens included, has its size."""
    counts = collections.Counter(words_of(text))
    words = [(as_characters(word), count) for word, count in counts.items()]
    tokens = [BYTE_CHARACTER[byte] for byte in range(256)]
    merges = []
    pairs = collections.Counter()
    where = collections.defaultdict(set)
    for at, (word, count) in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += count
            where[pair].add(at)
    while len(tokens) + len(SPECIAL) < size and pairs:
        (left, right), count = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if count < 2:
            break
        merges.append((left, right))
        tokens.append(left + right)
        for at in list(where[left, right]):
            word, count = words[at]
            for pair in zip(word, word[1:]):
                pairs[pair] -= count
            word = merge_word(word, left, right)
            words[at] = (word, count)
            for pair in zip(word, word[1:]):
                pairs[pair] += count
                where[pair].add(at)
        pairs.pop((left, right), None)
    return tokens, merges


class Encoder:
    """Encodes text with a trained vocabulary, one cached word at a time."""

    def __init__(self, tokens, merges):
        self.ids = {token: at for at, token in enumerate(tokens)}
        self.special = {text: len(tokens) + at for at, text in enumerate(SPECIAL)}
        self.ranks = {pair: at for at, pair in enumerate(merges)}
        self.known = {}

    def word(self, word):
        if word not in self.known:
            symbols = as_characters(word)
            while len(symbols) > 1:
                rank, at = min((self.ranks.get(pair, 1 << 30), at) for at, pair in enumerate(zip(symbols, symbols[1:])))
                if rank == 1 << 30:
                    break
                symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
            self.known[word] = [self.ids[symbol] for symbol in symbols]
        return self.known[word]

    def encode(self, text):
        ids = []
        for part in SPLIT_SPECIAL.split(text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for word in WORD.findall(part):
                    ids.extend(self.word(word))
        return ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=2048, help="tokens, special ones included; at most 65536")
    parser.add_argument("--corpus", default="corpus.txt")
    parser.add_argument("--out", default="bpe.json", help="vocabulary and merges")
    parser.add_argument("--ids", default="ids.bin", help="the encoded text, little-endian u16")
    options = parser.parse_args()
    with open(options.corpus, encoding="utf-8") as file:
        text = file.read()
    tokens, merges = train(text[:TRAINING_CHARACTERS], options.size)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump({"tokens": tokens, "merges": merges, "special": SPECIAL}, file)
    ids = array.array("H", Encoder(tokens, merges).encode(text))
    with open(options.ids, "wb") as file:
        ids.tofile(file)
    print(f"{len(tokens) + len(SPECIAL)} tokens, text of {len(ids)}, {len(text) / len(ids):.2f} characters each")


if __name__ == "__main__":
    main()
