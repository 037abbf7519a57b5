"""Renders the templates of test/fixtures/templates with jinja2, as transformers renders chat templates.

  python3 tools/goldens/templates.py                     writes test/fixtures/templates/goldens.json
  python3 tools/goldens/templates.py --jobs FILE OUT     renders the jobs of FILE, a list of {source, variables}

Wants jinja2 3.1.6 (pip install jinja2==3.1.6). It is no part of an installation: the goldens are checked in.
"""

import datetime
import functools
import json
import pathlib
import sys

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

WANTED = "3.1.6"
# The moment that every clock of the goldens shows, in local time.
NOW = datetime.datetime(2026, 5, 7, 8, 9, 10)
FIXTURES = pathlib.Path(__file__).parents[2] / "test" / "fixtures" / "templates"


class Generation(Extension):
    """The tag around what an assistant said: it writes what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller):
        return caller()


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = to_json
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = NOW.strftime
    return made


ENVIRONMENT = environment()


@functools.lru_cache(maxsize=None)
def compiled(source):
    return ENVIRONMENT.from_string(source)


def render(source, variables):
    """What Python writes, or at which point it refuses."""
    try:
        template = compiled(source)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    try:
        return {"text": template.render(**variables)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def constructs():
    """One template a line, with \\n for a line end; what stands behind #: is no part of them."""
    lines = (FIXTURES / "constructs.txt").read_text(encoding="utf-8").split("\n")
    return [line.replace("⏎", "\n") for line in lines if line and not line.startswith("#:")]


def main():
    if jinja2.__version__ != WANTED:
        sys.exit(f"the goldens are made with jinja2 {WANTED}, this is {jinja2.__version__}")
    if sys.argv[1:2] == ["--jobs"]:
        jobs = json.loads(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8"))
        answers = [render(job["source"], json.loads(job["variables"])) for job in jobs]
        pathlib.Path(sys.argv[3]).write_text(json.dumps(answers), encoding="utf-8")
        return
    conversations = json.loads((FIXTURES / "conversations.json").read_text(encoding="utf-8"))
    things = json.loads((FIXTURES / "variables.json").read_text(encoding="utf-8"))
    goldens = {"constructs": [{"source": source, **render(source, things)} for source in constructs()], "chat": []}
    for file in sorted((FIXTURES / "chat").glob("*.jinja")):
        source = file.read_bytes().decode("utf-8")
        for name, variables in conversations.items():
            given = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
            goldens["chat"].append({"template": file.name, "conversation": name, **render(source, given | variables)})
    text = json.dumps(goldens, ensure_ascii=False, indent=1)
    (FIXTURES / "goldens.json").write_text(text + "\n", encoding="utf-8")


main()
