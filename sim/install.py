"""How to install an extra here: from the checkout this runs from, or from where the package came."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def install_line(extra: str) -> str:
    """The command that installs pluralign[extra].

    Of a checkout, installed as editable or only lain beside, the pinned versions are the ones its tests ran with, and
    no index has its package: `pip install -c constraints.txt -e ".[llm]"`, in that folder.
    """
    if not ((_ROOT / "pyproject.toml").is_file() and (_ROOT / "constraints.txt").is_file()):
        return f"pip install 'pluralign[{extra}]'"
    line = f'pip install -c constraints.txt -e ".[{extra}]"'
    return line if Path.cwd() == _ROOT else f"cd {_ROOT} && {line}"
