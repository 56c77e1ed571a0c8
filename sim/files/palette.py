"""The colours and markers of every figure.

Okabe and Ito's palette: told apart with any colour vision, in print too. Markers, hatches or places say the same again.
"""

from __future__ import annotations

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, YELLOW, BLACK = "#E69F00", "#56B4E9", "#F0E442", "#000000"
# Not of the palette: what recedes.
GREY, LIGHT_GREY = "0.45", "#999999"

# Lines of one panel, by number, with the markers that go with them.
LINES = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Types, groups and adapters of a fit: neighbours as far apart as they can be; yellow fills, it is no line's colour.
GROUPS = (BLUE, AMBER, GREEN, PINK, SKY, ORANGE, YELLOW, BLACK)
