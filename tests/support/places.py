"""Where the repository and its study files are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "sim" / "studies" / "experiments"
