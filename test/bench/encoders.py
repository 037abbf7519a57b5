"""One encoder of PyPI, asked line by line: python3 encoders.py LIBRARY

{"open": tokenizer.json} opens it anew; {"encode": text file, "ids": file} encodes and writes the ids as 32-bit numbers.
Each answer is a line of JSON; "us" is the CPU time of the encoding alone, of all threads, in microseconds.
"""
import array
import json
import sys
import time


def tokenizers(path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    return lambda text: tokenizer.encode(text, add_special_tokens=False), lambda encoding: encoding.ids


def fastokens(path):
    from fastokens import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    return lambda text: tokenizer.encode(text, add_special_tokens=False), lambda encoding: encoding.ids


def gigatoken(path):
    from gigatoken import Tokenizer

    with open(path, "rb") as source:
        tokenizer = Tokenizer.from_json(source.read())
    return tokenizer.encode, lambda ids: ids.tolist()


def answer(question, opened):
    if "open" in question:
        opened[:] = {"tokenizers": tokenizers, "fastokens": fastokens, "gigatoken": gigatoken}[sys.argv[1]](
            question["open"]
        )
        return {}
    encode, ids_of = opened
    with open(question["encode"], encoding="utf8", newline="") as source:
        text = source.read()
    before = time.process_time_ns()
    encoded = encode(text)
    after = time.process_time_ns()
    with open(question["ids"], "wb") as out:
        array.array("I", ids_of(encoded)).tofile(out)
    return {"us": (after - before) / 1000}


def main():
    opened = []
    for line in sys.stdin:
        try:
            told = answer(json.loads(line), opened)
        except BaseException as error:  # what a Rust library panics with is no Exception
            told = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(told), flush=True)


main()
