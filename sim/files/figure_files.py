"""Figures as files: PNG to look at, SVG to print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.files.atomic import replacing


def save_figure(figure: Any, folder: str | Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg, each written whole or not at all."""
    import matplotlib.pyplot as plt

    paths = []
    for suffix in ("png", "svg"):
        path = Path(folder) / f"{name}.{suffix}"
        with replacing(path) as temporary:
            # Without a date an unchanged figure is an unchanged file.
            figure.savefig(temporary, dpi=150, bbox_inches="tight", metadata={"Date": None} if suffix == "svg" else {})
        paths.append(path)
    plt.close(figure)
    return paths
