"""The client of the ensemble against a server on this machine that takes what vLLM documents, and nothing else.

vLLM itself is not run: what is checked is the form of requests, that models are those of the command that serves them,
and that members answer as often as their weights say.
"""

import importlib.util
import json
import shlex
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from places import ROOT

FILE = ROOT / "examples" / "serving" / "ensemble.py"
# Fields of vLLM's completion and chat requests that are OpenAI's; others are refused with 400.
SAMPLING = {"model": str, "max_tokens": int, "temperature": float, "top_p": float, "n": int, "seed": int,
            "stop": (str, list), "stream": bool, "logprobs": (int, bool), "presence_penalty": float,
            "frequency_penalty": float, "user": str}  # fmt: skip
FIELDS = {
    "/v1/completions": {**SAMPLING, "prompt": (str, list), "echo": bool},
    "/v1/chat/completions": {
        **SAMPLING,
        "messages": list,
        "tools": list,
        "tool_choice": str,
        "chat_template_kwargs": dict,
    },
}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("ensemble_example", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    """The files of a run that the client reads, in the form that `llm train` and `llm minmax` write."""
    return _run(tmp_path / "a run", chat=False)


def _run(folder, chat, rank=4, dora=False, weights=(0.7, 0.2, 0.1), **more):
    names = [f"group_{k}" for k in range(3)]
    for name in names:
        (folder / name).mkdir(parents=True)
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": 16.0, "use_dora": dora}
        (folder / name / "adapter_config.json").write_text(json.dumps(config))
    base = folder.parent / "my base"
    base.mkdir(exist_ok=True)
    content = {
        "base": str(base),
        "adapters": names,
        "mixture": [0.5, 0.3, 0.2],
        "weights": weights,
        "chat": chat,
        **more,
    }
    (folder / "mixture.json").write_text(json.dumps(content))
    return folder


class _Vllm(BaseHTTPRequestHandler):
    served: tuple[str, ...] = ()
    asked: list = []
    key = None

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        problem = self._problem(body)
        if problem is not None:
            code, text = problem
            self._answer(code, {"error": {"message": text, "type": "BadRequestError", "param": None, "code": code}})
            return
        self.asked.append((self.path, body))
        choice = {"index": 0, "logprobs": None, "finish_reason": "stop"}
        text = f" said by {body['model']}"
        choice |= (
            {"text": text} if self.path == "/v1/completions" else {"message": {"role": "assistant", "content": text}}
        )
        kind = "text_completion" if self.path == "/v1/completions" else "chat.completion"
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        self._answer(200, {"id": "cmpl-1", "object": kind, "created": 1, "model": body["model"], "choices": [choice],
                           "usage": usage})  # fmt: skip

    def _problem(self, body):
        fields = FIELDS.get(self.path)
        if fields is None:
            return 404, f"no {self.path}"
        if self.headers["Content-Type"] != "application/json":
            return 400, "not JSON"
        if self.key is not None and self.headers["Authorization"] != f"Bearer {self.key}":
            return 401, "Unauthorized"
        for name, value in body.items():
            if name not in fields or not isinstance(value, fields[name]):
                return 400, f"field {name}"
        for message in body.get("messages", []):
            if set(message) != {"role", "content"}:
                return 400, "message"
        if ("prompt" in body) == ("messages" in body):
            return 400, "prompt or messages"
        if body["model"] not in self.served:
            return 404, f"The model `{body['model']}` does not exist."
        return None

    def _answer(self, code, content):
        whole = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(example, run):
    """A server started as the command for this run says, on a free port of this machine alone."""
    words = shlex.split(example.serve_command(run))
    modules = words[words.index("--lora-modules") + 1 :]
    handler = type("Handler", (_Vllm,), {"asked": [], "served": (words[2], *(m.split("=")[0] for m in modules))})
    with HTTPServer(("127.0.0.1", 0), handler) as own:
        thread = threading.Thread(target=own.serve_forever, daemon=True)
        thread.start()
        own.url = f"http://127.0.0.1:{own.server_address[1]}"
        yield own
        own.shutdown()
        thread.join()


def test_members_answer_as_often_as_their_weights_say(example, run, server):
    ensemble, n = example.Ensemble(run, server.url, seed=1), 600
    answers = [ensemble.ask("The film was", 5) for _ in range(n)]
    assert all(text == f" said by {name}" for name, text in answers)
    asked = server.RequestHandlerClass.asked
    assert {path for path, _ in asked} == {"/v1/completions"}
    assert asked[0][1] == {
        "model": answers[0][0], "prompt": "The film was", "max_tokens": 5, "temperature": 1.0, "top_p": 1.0,
    }  # fmt: skip
    counts = Counter(body["model"] for _, body in asked)
    for name, weight in zip(("group_0", "group_1", "group_2"), (0.7, 0.2, 0.1), strict=True):
        # Four standard deviations: once in sixteen thousand seeds.
        assert abs(counts[name] - n * weight) < 4 * (n * weight * (1 - weight)) ** 0.5
    # Draws are independent: whoever answered before, the next is drawn by the same weights.
    after = Counter(answers[j + 1][0] for j in range(n - 1) if answers[j][0] == "group_1")
    assert after["group_0"] > after["group_1"] > 0
    again = example.Ensemble(run, server.url, seed=1)
    assert [again.draw() for _ in range(50)] == [name for name, _ in answers[:50]]


def test_a_run_on_conversations_is_asked_with_messages(example, tmp_path, server):
    ensemble = example.Ensemble(_run(tmp_path / "chat", chat=True), server.url, seed=0)
    messages = [{"role": "system", "content": "Short."}, {"role": "user", "content": "Tea?"}]
    for prompt in ("Tea?", messages):
        name, text = ensemble.ask(prompt, 3, seed=7)
        assert text == f" said by {name}"
    (first, plain), (second, listed) = server.RequestHandlerClass.asked
    assert first == second == "/v1/chat/completions"
    assert plain["messages"] == [{"role": "user", "content": "Tea?"}]
    assert listed["messages"] == messages
    assert listed["seed"] == 7


def test_the_template_is_given_what_it_was_given_in_training(example, tmp_path, server):
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    thinking = {"enable_thinking": False}
    asked = server.RequestHandlerClass.asked
    beside = ("tools", "tool_choice", "chat_template_kwargs")

    def body(name, rendering, **options):
        example.Ensemble(_run(tmp_path / name, chat=True, rendering=rendering), server.url).ask("Tea?", 3, **options)
        return {key: value for key, value in asked[-1][1].items() if key in beside}

    assert body("a", {"chat_template_kwargs": thinking}) == {"chat_template_kwargs": thinking}
    assert body("b", {"tools": tools}) == {"tools": tools, "tool_choice": "none"}
    assert body("c", {"chat_template_kwargs": thinking}, chat_template_kwargs={}) == {"chat_template_kwargs": {}}
    assert body("d", {}) == {}
    with pytest.raises(SystemExit, match="this run's answers differ in tools or chat_template_kwargs"):
        body("e", None)
    assert body("f", None, chat_template_kwargs=thinking) == {"chat_template_kwargs": thinking}
    words = [str(tmp_path / "e"), "--prompt", "x", "--url", server.url, "--chat-template-kwargs", json.dumps(thinking)]
    assert example.main(words) == 0
    assert asked[-1][1]["chat_template_kwargs"] == thinking


def test_the_command_is_the_documented_one(example, run, tmp_path):
    words = shlex.split(example.serve_command(run))
    assert words[:3] == ["vllm", "serve", str(tmp_path / "my base")]
    options = dict(zip(words[4:10:2], words[5:10:2], strict=True))
    assert words[3] == "--enable-lora"
    assert options == {"--max-loras": "3", "--max-lora-rank": "8", "--generation-config": "vllm"}
    assert words[10:] == ["--lora-modules", *(f"group_{k}={run / f'group_{k}'}" for k in range(3))]
    assert shlex.split(example.serve_command(run, "elsewhere"))[2] == "elsewhere"
    (tmp_path / "my base").rename(tmp_path / "moved")
    with pytest.raises(SystemExit, match=r"the base of this run, .*my base, is not here; give its folder with --base"):
        example.serve_command(run)
    assert shlex.split(example.serve_command(run, str(tmp_path / "moved")))[2] == str(tmp_path / "moved")
    assert "--max-lora-rank 64" in example.serve_command(_run(tmp_path / "wide", False, rank=40))
    with pytest.raises(SystemExit, match=r"rank 600 is more than vLLM takes \(512\)"):
        example.serve_command(_run(tmp_path / "wider", False, rank=600))
    with pytest.raises(SystemExit, match="group_0 is of DoRA, which vLLM does not load"):
        example.serve_command(_run(tmp_path / "dora", False, dora=True))


def test_shares_stand_in_where_no_game_was_played(example, tmp_path):
    assert example.members(_run(tmp_path / "run", False, weights=None)) == pytest.approx(
        {"group_0": 0.5, "group_1": 0.3, "group_2": 0.2}
    )
    with pytest.raises(SystemExit, match=r"holds no mixture\.json"):
        example.members(tmp_path)


def test_what_goes_wrong_is_one_line(example, run, server, capsys):
    server.RequestHandlerClass.key = "secret"
    with pytest.raises(SystemExit, match=r"the server refused model 'group_\d' \(401\): .*Unauthorized"):
        example.Ensemble(run, server.url).ask("x")
    assert example.Ensemble(run, server.url, key="secret").ask("x")[1].startswith(" said by group_")
    server.RequestHandlerClass.key = None
    with pytest.raises(SystemExit, match=r"\(400\): .*field best_guess"):
        example.Ensemble(run, server.url).ask("x", best_guess=1)
    server.RequestHandlerClass.served = ()
    with pytest.raises(SystemExit, match=r"\(404\): .*does not exist"):
        example.Ensemble(run, server.url).ask("x")
    with pytest.raises(SystemExit, match=r"no server at http://127\.0\.0\.1:9 .*start it as --serve says"):
        example.Ensemble(run, "http://127.0.0.1:9").ask("x")


def test_from_the_command_line(example, run, server, capsys):
    assert example.main([str(run), "--serve"]) == 0
    assert capsys.readouterr().out.startswith(f"vllm serve '{run.parent / 'my base'}' --enable-lora")
    assert example.main([str(run), "--prompt", "x", "--samples", "3", "--url", server.url, "--seed", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("[group_") for line in lines)
