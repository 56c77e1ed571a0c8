"""What a report says of features that were made of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.files.atomic import Json
from sim.fitting.text_features.carried import Carried
from sim.fitting.text_features.learn import Featured
from sim.fitting.text_features.saved_text import TextPart
from sim.fitting.told_numbers import interval_text


@dataclass(frozen=True, eq=False)
class TextReport:
    """found: how the features were made.  carried: how much of what can be predicted they carry."""

    found: Featured
    carried: Carried

    @property
    def part(self) -> TextPart:
        """What makes the features of other texts."""
        return TextPart(self.found.made, self.found.table.kind)

    def as_json(self) -> dict[str, Json]:
        """`features` of the report."""
        return {
            "kind": self.found.kind,
            "of": self.found.place or None,
            "dimension": self.found.made.dimension,
            "candidates": self._candidates(),
            "carried": self.carried.as_json(),
        }

    def selection(self) -> dict[str, Json]:
        """`selection.features` of the report."""
        chosen = self.found.chosen
        return {"candidates": self._candidates(), "chosen": {"size": chosen.size, "ridge": chosen.ridge}}

    def _candidates(self) -> list[Json]:
        return [candidate.as_json() for candidate in self.found.tried]


_NAMES = {"features": "the features", "items": "who the items are", "length": "the longer response", "coin": "a coin"}


def features_lines(features: Mapping[str, Json]) -> list[str]:
    """The same for a reader; features: what `TextReport.as_json` gave."""
    of = f" of {features['of']}" if features["of"] else ""
    sizes = sorted({candidate["size"] for candidate in features["candidates"]})
    among = f", of {', '.join(map(str, sizes))} tried" if len(sizes) > 1 else ""
    lines = [f"features: {features['kind']}{of}, {features['dimension']} directions{among}"]
    for users in ("known_users", "unseen_users"):
        rows = features["carried"][users]
        told = [_gain_line(name, rows[name]) for name in _NAMES if "over_coin" in rows.get(name, {})]
        if told:
            lines += [f"  what they carry, {users.replace('_', ' ')} (nats an answer more than a coin)", *told]
    return lines


def _gain_line(name: str, row: Mapping[str, Json]) -> str:
    interval = interval_text(row["over_coin_interval"], "+.4f")
    return f"    {_NAMES[name]:<23} {row['over_coin']:+.4f} {interval}"


def words_of_group(examples: Mapping[str, Json]) -> str:
    """`more WORD, WORD; less WORD`, empty where features are no words."""
    told = [f"{side} {', '.join(examples[f'{side}_words'])}" for side in ("more", "less") if examples[f"{side}_words"]]
    return "; ".join(told)


def example_lines(examples: Mapping[str, Json] | None) -> list[str]:
    """A group's examples, a line each."""
    return [f"    {side}: {text}" for side in ("more", "less") for text in (examples or {}).get(side, [])]
