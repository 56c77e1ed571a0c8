"""Every code block of README, CONTRIBUTING and the docs, run in the order of its page on the sample inputs."""

import shutil
import sys

import pytest
from markdown_blocks import NOT_RUN, Block, Page, blocks_of, commands_of, difference, pages, parse
from places import ROOT

from sim import plugins


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page is read: the sample inputs lie in examples/, as in a checkout."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield tmp_path
    plugins._LOADED.clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_page(page, folder):
    run(page, folder)


# Half a minute: two processes of torchrun, every day in tests/llm/runs/test_two_processes.py, and a large model's plan,
# every day on the page of several machines.
@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if any(own.slow for own in blocks_of(page))], ids=name_of)
def test_page_with_what_is_slow(page, folder):
    run(page, folder, slow=True)


def run(page, folder, slow=False):
    runner = Page(page, folder, slow)
    if page.name in ("language_models.md", "several_machines.md"):
        # As in the tests of llm: two threads of a model this small wait for each other.
        pytest.importorskip("torch").set_num_threads(1)
    for block in blocks_of(page):
        runner.run(block)


def test_most_blocks_are_run():
    blocks = [block for page in pages() for block in blocks_of(page) if block.language in ("python", "bash")]
    assert len(blocks) > 40
    assert sum(block.not_run is None for block in blocks) > 0.5 * len(blocks)


def test_output_is_compared():
    assert difference("a 1.23\n...\nin 3 s", "a   1.24\nmany\nlines\nin 250 s") is None
    assert difference("a 1.23", "a 1.25") == "1.23 is 1.25"
    assert difference("-2 b", "2 b") == "-2 is 2"
    assert "another form" in difference("a\nb", "a\nc")
    assert "another form" in difference("a", "a\nb")
    assert difference(".70 6.2e-16", "0.71 3e-17") is None
    assert difference("6.2e-16", "3e-6") == "6.2e-16 is 3e-6"


def test_a_block_that_fails_is_noticed(folder):
    page = Page(ROOT / "README.md", folder)
    for block, message in [
        (Block("python", "print(1)\n", 1, output="2\n"), None),
        (Block("bash", "pluralign minmax --regret nothing.csv\n", 1), "exit 2, expected 0"),
        (Block("bash", "false\npluralign list\n", 1), "before `pluralign list`"),
        (Block("bash", "pluralign fit x --methd y\n", 1, not_run="takes minutes"), None),
        (Block("bash", "pluralign fit x\n", 1, not_run="no time"), "no reason of the list"),
        (Block("yaml", "a: [\n", 1), None),
        (Block("ruby", "1\n", 1), "what is a block of 'ruby'"),
    ]:
        with pytest.raises(Exception, match=message):
            page.run(block)
    page.run(Block("bash", "pluralign minmax --regret nothing.csv\n", 1, exit_code=2))


def test_what_is_slow_is_parsed_and_run_when_it_is_asked_for(folder):
    slow = Block("bash", "GLOO_SOCKET_IFNAME=lo pluralign minmax --regret nothing.csv\n", 1, slow=True)
    Page(ROOT / "README.md", folder).run(slow)
    with pytest.raises(Exception, match="exit 2, expected 0"):
        Page(ROOT / "README.md", folder, slow=True).run(Block(**{**vars(slow), "text": slow.text.partition(" ")[2]}))
    with pytest.raises(Exception, match="such option"):
        Page(ROOT / "README.md", folder).run(Block("bash", "A=b pluralign fit x --methd y\n", 1, slow=True))
    with pytest.raises(AssertionError, match="not compared every day"):
        Page(ROOT / "README.md", folder).run(Block("python", "print(1)\n", 1, output="1\n", slow=True))
    (folder / "page.md").write_text("<!-- run by make test-slow -->\n```python\n1 / 0\n```\n")
    assert [block.slow for block in blocks_of(folder / "page.md")] == [True]


def test_what_is_not_run_is_parsed():
    for reason in NOT_RUN:
        parse(
            Block("bash", "pluralign check low_rank \\\n    --workers 2   # all of it\nmake check\n", 1, not_run=reason)
        )
    assert commands_of("a \\\n  b # c\n# d\n\ne '#f'\n") == ["a b", "e '#f'"]
    with pytest.raises(Exception, match="such option"):
        parse(Block("bash", "pluralign llm train --nonsense 1\n", 1))
    with pytest.raises(AssertionError, match="no target"):
        parse(Block("bash", "make nothing\n", 1))
    parse(Block("bash", "srun torchrun --nnodes 2 -m pluralign llm train --out x\n", 1))
    with pytest.raises(Exception, match="such option"):
        parse(Block("bash", "torchrun --nproc-per-node 2 -m pluralign llm train --nonsense 1\n", 1))
