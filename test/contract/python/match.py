"""Patterns of the golden corpus, as ../corpus/README.md has them, over JSON as Python reads it."""

import base64
import json

# Stands for what is not there; None is JSON's null.
ABSENT = object()
# Libraries print a float with as many digits as they like: numbers this close, as a share, are equal.
CLOSE = 1e-7

MATCHERS = {
    "$equal": lambda given, value, saved: equal(given, value),
    "$not": lambda given, value, saved: value is not ABSENT and not equal(given, value),
    "$present": lambda given, value, saved: value is not ABSENT,
    "$absent": lambda given, value, saved: value is ABSENT,
    "$count": lambda given, value, saved: isinstance(value, (list, dict)) and len(value) == given,
    "$bytes": lambda given, value, saved: isinstance(value, str) and len(base64.b64decode(value)) == given,
    "$some": lambda given, value, saved: (
        isinstance(value, list) and any(mismatch(given, part, saved) is None for part in value)
    ),
    "$save": lambda given, value, saved: value is not ABSENT and not saved.update({given: value}),
}


def mismatch(pattern, value, saved, path="$"):
    """Why a value does not match a pattern, with the path to the place; None when it does."""
    key = next(iter(pattern), "") if isinstance(pattern, dict) else ""
    parts = ()
    if key == "$each":
        matches = isinstance(value, list)
        parts = ((at, pattern[key]) for at in range(len(value) if matches else 0))
    elif key.startswith("$"):
        matches = key in MATCHERS and MATCHERS[key](pattern[key], value, saved)
    elif isinstance(pattern, list):
        matches = isinstance(value, list) and len(value) == len(pattern)
        parts = enumerate(pattern)
    elif isinstance(pattern, dict):
        matches = isinstance(value, dict)
        parts = pattern.items()
    else:
        matches = equal(pattern, value)
    if not matches:
        got = "nothing" if value is ABSENT else json.dumps(value)[:400]
        return f"{path}: expected {json.dumps(pattern)[:400]}, got {got}"
    for at, part in parts:
        there = value.get(at, ABSENT) if isinstance(value, dict) else value[at]
        if found := mismatch(part, there, saved, f"{path}.{at}"):
            return found
    return None


def fill(value, saved):
    """A step with what the case saved, zeros and long texts in their places."""
    if isinstance(value, list):
        return [fill(part, saved) for part in value]
    if not isinstance(value, dict):
        return value
    if "$zeros" in value:
        return base64.b64encode(bytes(value["$zeros"])).decode()
    if "$text" in value:
        return "a" * value["$text"]
    return saved.get(value["$var"]) if "$var" in value else {name: fill(part, saved) for name, part in value.items()}


def values_at(value, path):
    """The values at a path of names with dots between them, in order; a list on the way stands for all its parts."""
    for name in path.split("."):
        parts = value if isinstance(value, list) else [value]
        found = [part[name] for part in parts if isinstance(part, dict) and name in part]
        value = [one for part in found for one in (part if isinstance(part, list) else [part])]
    return value


def equal(one, other):
    """Whether both are equal in all parts. To Python true is 1; here it is not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(part, other[name]) for name, part in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if {type(one), type(other)} <= {int, float}:
        return abs(one - other) <= CLOSE * max(abs(one), abs(other))
    return type(one) is type(other) and one == other
