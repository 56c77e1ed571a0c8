"""The code blocks of a page, and running them in order as a reader would.

A fence is `python` (run in one namespace a page) or `bash` (each command; `pluralign` in this process, so that a page
of twenty commands imports its packages once). A `text` fence right below one is its output: `...` stands for anything,
a number may differ by one in its last digit (one below 1e-9 is rounding, a whole one is exact), a time by anything. A
comment right above a fence says what is unusual:

    <!-- not run: takes minutes -->     parsed, not run; the reason is one of NOT_RUN
    <!-- run by make test-slow -->      run there alone, parsed every day: another test holds the kind every day
    <!-- exit 2 -->                     the last command ends so
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml
from places import ROOT

NOT_RUN = (
    "installs",
    "takes minutes",
    "needs MovieLens",
    "needs real data",
    "needs IMDb reviews",
    "needs a language model",
    "needs several machines",
)
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (not run: (?P<why>[^>]*?)|exit (?P<code>\d+)|(?P<slow>run by make test-slow)) -->\s*\Z")
_SNIPPET = re.compile(r'^--8<-- "(.+?)"$', re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_TIME = re.compile(r"\d+(?:\.\d+)? (?:s|ms|minutes|min)\b")


@dataclass(frozen=True)
class Block:
    """One fence: its language, text and first line; what is expected of it."""

    language: str
    text: str
    line: int
    not_run: str | None = None
    exit_code: int = 0
    output: str | None = None
    slow: bool = False


def pages() -> list[Path]:
    """README, CONTRIBUTING and every page of the docs."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        language, body = (
            match.group(1),
            _SNIPPET.sub(lambda m: (ROOT / m.group(1)).read_text().rstrip(), match.group(2)),
        )
        if language == "text" and found and not text[end : match.start()].strip() and found[-1].output is None:
            found[-1] = Block(**{**found[-1].__dict__, "output": body})
        else:
            said = _COMMENT.search(text[: match.start()])
            why, code, slow = said.group("why", "code", "slow") if said else (None, None, None)
            line = text[: match.start()].count("\n") + 1
            found.append(Block(language, body, line, why, int(code or 0), slow=slow is not None))
        end = match.end()
    return found


def commands_of(text: str) -> list[str]:
    """The commands of a bash block: continued lines joined, comments left out."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        line
        for line in (re.sub(r"\s+# .*$", "", line).strip() for line in joined.splitlines())
        if line[:1] not in ("", "#")
    ]


def parse(block: Block) -> None:
    """A block that is not run: its Python compiles, its command lines are ones the parser accepts."""
    if block.language == "python":
        compile(block.text, "a block", "exec")
        return
    for command in commands_of(block.text):
        words = shlex.split(command)
        while re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words[0].endswith("pluralign"):
            _parse_verb(words[1:])
        elif words[0] in ("torchrun", "accelerate", "srun"):
            assert words[0] != "srun" or words[1] == "torchrun", f"what does srun start in `{command}`?"
            place = words.index("-m")
            assert words[place + 1] == "pluralign", f"`{command}` starts another module"
            _parse_verb(words[place + 2 :])
        elif words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), f"no target {words[1]}"
        elif "/" in words[0] and not words[0].startswith("."):
            assert (ROOT / words[0]).exists(), f"{words[0]} is not there"
        elif words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).exists(), f"{words[1]} is not there"
        else:
            tool = Path(words[0]).name
            known = ("pip", "python", "python3", "git", "dask", "bash", "ruff", "mypy", "sbatch")
            assert tool in known, f"what is '{words[0]}'?"


def _parse_verb(words: list[str]) -> None:
    import click

    from pluralign.__main__ import command

    current: click.Command = command
    context = click.Context(current, info_name="pluralign")
    while isinstance(current, click.Group):
        name, found, words = current.resolve_command(context, words)
        assert found is not None, f"no command {name}"
        current, context = found, click.Context(found, info_name=name, parent=context)
    current.make_context(context.info_name, list(words), parent=context.parent)


class Page:
    """Runs one page's blocks in a folder that holds the sample inputs.  slow: those of `make test-slow`, too."""

    def __init__(self, page: Path, folder: Path, slow: bool = False) -> None:
        self.page, self.folder, self.slow = page, folder, slow
        self.names: dict[str, object] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        where = f"{self.page.name}, line {block.line}"
        if block.not_run is not None:
            assert block.not_run in NOT_RUN, f"{where}: '{block.not_run}' is no reason of the list"
            parse(block)
            return
        if block.slow and not self.slow:
            assert block.output is None, f"{where}: output that is not compared every day"
            parse(block)
            return
        if block.language == "python":
            printed, code = self._python(block, where), 0
        elif block.language == "bash":
            printed, code = self._bash(block, where)
        else:
            assert block.output is None, f"{where}: output below a block that is not run"
            _read(block, where)
            return
        assert code == block.exit_code, f"{where}: exit {code}, expected {block.exit_code}\n{printed}"
        if block.output is not None:
            problem = difference(block.output, printed)
            assert problem is None, f"{where}: {problem}\n--- printed\n{printed}"

    def _python(self, block: Block, where: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.text, where, "exec"), self.names)
        return out.getvalue()

    def _bash(self, block: Block, where: str) -> tuple[str, int]:
        printed, code = "", 0
        for command in commands_of(block.text):
            assert code == 0, f"{where}: exit {code} before `{command}`\n{printed}"
            words = shlex.split(command)
            own = words[0] == "pluralign" and not set(words) & {"|", ">", "&&", ";"}
            text, code = _in_process(words[1:]) if own else self._in_shell(command)
            printed += text
        return printed, code

    def _in_shell(self, command: str) -> tuple[str, int]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=self.folder, check=False,
            timeout=300, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.stdout + (done.stderr if done.returncode else ""), done.returncode


def _in_process(words: list[str]) -> tuple[str, int]:
    from pluralign.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["pluralign", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = int(main() or 0)
    finally:
        sys.argv = before
    return out.getvalue() + (err.getvalue() if code else ""), code


def _read(block: Block, where: str) -> None:
    """What is shown and not run is at least well formed."""
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "jsonl":
        for line in block.text.splitlines():
            json.loads(line)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "yaml":
        yaml.safe_load(block.text)
    else:
        assert block.language in ("text", "csv", "bibtex"), f"{where}: what is a block of '{block.language}'?"


def difference(expected: str, printed: str) -> str | None:
    """None where the output is the expected one."""
    pattern, numbers = "", []
    expected, printed = _TIME.sub("<time>", expected.strip()), _TIME.sub("<time>", printed.strip())
    for part in re.split(r"(\.\.\.(?!\d)|\s+|" + _NUMBER.pattern + ")", expected, flags=re.IGNORECASE):
        if part == "...":
            pattern += r"[\s\S]*?"
        elif part.isspace():
            pattern += r"\s+" if "\n" not in part else r"[ \t]*\n\s*"
        elif _NUMBER.fullmatch(part):
            numbers.append(part)
            pattern += f"({_NUMBER.pattern})"
        else:
            pattern += re.escape(part)
    match = re.fullmatch(pattern, printed, flags=re.IGNORECASE)
    if match is None:
        return f"the output has another form than\n{expected}"
    for told, found in zip(numbers, match.groups(), strict=True):
        rounding = max(abs(float(told)), abs(float(found))) < 1e-9 and float(told) != 0
        if not rounding and abs(float(told) - float(found)) > 1.01 * _last_digit(told):
            return f"{told} is {found}"
    return None


def _last_digit(number: str) -> float:
    """What one in the last digit is worth; nothing for a whole number."""
    if number.lstrip("+-").isdigit():
        return 0.0
    mantissa, _, exponent = number.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
