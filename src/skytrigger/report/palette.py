"""Colours, each in light and dark: of the page, of series, and of runtimes as their registry has them."""

from __future__ import annotations

from functools import cache

from skytrigger.runtimes.registry import RUNTIMES

# of the page's parts; Okabe & Ito's palette for series: told apart with any colour vision
PAGE = {
    "ink": ("#1b1f24", "#e6e9ed"), "soft": ("#57606a", "#9aa4af"), "line": ("#d8dee4", "#363d46"),
    "paper": ("#ffffff", "#12161b"), "panel": ("#f6f8fa", "#1b2128"), "link": ("#0b5c91", "#7cc4f0"),
    "good": ("#006a4e", "#4fd1a5"), "bad": ("#a63c00", "#ff9a62"), "warn-ink": ("#4a3000", "#ffdf9e"),
    "warn": ("#ffe2a8", "#4d3800"),
}  # fmt: skip
FIRST, SECOND, OTHER = "t-first", "t-second", "t-other"
SERIES = {FIRST: ("#0072b2", "#56b4e9"), SECOND: ("#d55e00", "#ff8f4a"), OTHER: ("#56b4e9", "#9fd8ff")}
RIGHT, WRONG = SERIES[FIRST], SERIES[SECOND]  # of matrices: for the better, for the worse
SHADES = (0.0, 0.08, 0.16, 0.24, 0.32, 0.40, 0.48, 0.54, 0.60)  # opacity of a matrix's levels


def tone_of(runtime: object) -> str:
    """Class of a runtime's colour; of all that the registry lacks `OTHER`."""
    return f"t-{runtime}" if str(runtime) in RUNTIMES else OTHER


def mixed(colour: str, other: str, share: float) -> str:
    """`share` of `colour` with the rest of `other`, both ``#rrggbb``."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


@cache
def tones() -> dict[str, tuple[str, str]]:
    """Class -> colour on white, colour on black."""
    return SERIES | {f"t-{name}": (r.colour, mixed(r.colour, "#ffffff", 0.65)) for name, r in RUNTIMES.items()}


def css() -> str:
    """Variables and classes of all colours."""
    shades = {
        f"{c}{i}": (mixed(both[0], "#ffffff", s), mixed(both[1], PAGE["panel"][1], s))
        for c, both in (("d", RIGHT), ("o", WRONG))
        for i, s in enumerate(SHADES)
    }
    named = PAGE | tones() | shades
    light, dark = (" ".join(f"--{name}: {both[i]};" for name, both in named.items()) for i in (0, 1))
    classes = [f"svg .{name} {{ --tone: var(--{name}); }}" for name in tones()]
    classes += [f".matrix tbody .{c}{i} {{ background: var(--{c}{i}); }}" for c in "do" for i in range(1, len(SHADES))]
    return (
        f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        + "\n".join(classes)
        + "\n"
    )
