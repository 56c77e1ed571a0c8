"""Ask a vLLM server for responses of a run's ensemble: a member is drawn for each request. Standard library alone.

    python examples/serving/ensemble.py run --serve
    python examples/serving/ensemble.py run --prompt "For a film like this" --samples 4

The first line prints how to start the server, every group's adapter beside one base; the second asks it.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# The ranks that vLLM's --max-lora-rank takes; an adapter may have a smaller one.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def read_run(run: str | Path) -> dict[str, Any]:
    """mixture.json of a run folder."""
    file = Path(run) / "mixture.json"
    if not file.is_file():
        raise SystemExit(f"{run} holds no mixture.json; give a folder of `pluralign llm train`")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def members(run: str | Path) -> dict[str, float]:
    """Adapter -> the chance that it answers: the weights that `llm minmax` wrote, or the groups' shares before."""
    content = read_run(run)
    weights = content.get("weights") or content["mixture"]
    total = sum(weights)
    return {name: weight / total for name, weight in zip(content["adapters"], weights, strict=True)}


def serve_command(run: str | Path, base: str | None = None) -> str:
    """The command that serves the base and every member beside it. SystemExit where vLLM has no such adapters."""
    folders = {name: Path(run) / name for name in members(run)}
    configs = {
        name: json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        for name, folder in folders.items()
    }
    for name, config in configs.items():
        if config.get("use_dora"):
            raise SystemExit(f"{name} is of DoRA, which vLLM does not load; serve `pluralign llm merge` of each group")
    rank = max(config["r"] for config in configs.values())
    room = next((own for own in RANKS if own >= rank), None)
    if room is None:
        raise SystemExit(
            f"rank {rank} is more than vLLM takes ({RANKS[-1]}); serve `pluralign llm merge` of each group"
        )
    served = Path(base or read_run(run)["base"])
    if base is None and not served.is_dir():
        raise SystemExit(f"the base of this run, {served}, is not here; give its folder with --base")
    # A name that is no path would be looked for on a hub.
    place = str(served.absolute()) if served.is_dir() else str(base)
    words = ["vllm", "serve", place, "--enable-lora", "--max-loras", str(len(configs)), "--max-lora-rank", str(room),
             "--generation-config", "vllm", "--lora-modules"]  # fmt: skip
    return shlex.join([*words, *(f"{name}={folder.absolute()}" for name, folder in folders.items())])


class Ensemble:
    """The policy sum_k w_k pi_k over whole responses: who answers is drawn once a response, never once a token."""

    def __init__(
        self, run: str | Path, url: str = "http://127.0.0.1:8000", *, seed: int | None = None, key: str | None = None
    ) -> None:
        """seed: of the draws, None for new ones each time.  key: what the server was started with as --api-key."""
        content = read_run(run)
        self.weights, self.chat = members(run), bool(content.get("chat"))
        # None where the training answers differ; left out by runs of before.
        self.rendering: dict[str, Any] | None = content.get("rendering", {})
        self._url, self._key, self._random = url.rstrip("/"), key, random.Random(seed)

    def draw(self) -> str:
        """The member that answers next."""
        return self._random.choices(list(self.weights), list(self.weights.values()))[0]

    def ask(self, prompt: str | list[dict[str, str]], max_tokens: int = 64, **options: Any) -> tuple[str, str]:
        """(member, response).  prompt: a text, or messages, which a run on conversations is asked with.

        The policies are those at temperature 1 over all tokens, whose chat template is given what it was given in
        training: other options are another ensemble.
        """
        name = self.draw()
        body: dict[str, Any] = {"model": name, "max_tokens": max_tokens, "temperature": 1.0, "top_p": 1.0, **options}
        if self.chat or not isinstance(prompt, str):
            body = {**self._template(options), **body}
            body["messages"] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            return name, str(self._post("/v1/chat/completions", body)["choices"][0]["message"]["content"])
        body["prompt"] = prompt
        return name, str(self._post("/v1/completions", body)["choices"][0]["text"])

    def _template(self, options: dict[str, Any]) -> dict[str, Any]:
        """What the chat template is given beside messages; SystemExit where the run does not settle it."""
        given = {"tools", "chat_template_kwargs"} & set(options)
        if self.rendering is None and not given:
            raise SystemExit(
                "this run's answers differ in tools or chat_template_kwargs: give ask() those of your prompt"
            )
        found = {name: value for name, value in (self.rendering or {}).items() if name not in given}
        # The server is to show the tools, and to leave what is written as it is.
        return {**found, "tool_choice": "none"} if found.get("tools") else found

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except urllib.error.HTTPError as error:
            said = " ".join(error.read().decode(errors="replace").split())[:300]
            raise SystemExit(f"the server refused model '{body['model']}' ({error.code}): {said}") from error
        except urllib.error.URLError as error:
            raise SystemExit(f"no server at {self._url} ({error.reason}); start it as --serve says") from error


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A run's ensemble on a vLLM server.")
    parser.add_argument("run", help="folder of `pluralign llm train`")
    parser.add_argument("--serve", action="store_true", help="print the command that starts the server")
    parser.add_argument("--base", help="with --serve: where the base lies now, if it was moved")
    parser.add_argument("--prompt", help="what to ask")
    parser.add_argument("--chat-template-kwargs", type=json.loads, help="with --prompt: JSON, instead of the run's")
    parser.add_argument("--samples", type=int, default=1, help="responses, each of a member of its own")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seed", type=int)
    given = parser.parse_args(words)
    if given.serve:
        print(serve_command(given.run, given.base))
        return 0
    if given.prompt is None:
        parser.error("give --prompt TEXT, or --serve")
    told = given.chat_template_kwargs
    options = {} if told is None else {"chat_template_kwargs": told}
    ensemble = Ensemble(given.run, given.url, seed=given.seed)
    for _ in range(given.samples):
        name, text = ensemble.ask(given.prompt, given.max_tokens, **options)
        print(f"[{name}] {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
