"""Every figure of the pages from the records: ``python -m figures --write`` (with ``benchmarks`` on the path).

A page says ``<!-- fig NAME WORDS -->text<!-- /fig -->``; the function registered as NAME is called with WORDS and gives
the text. Numbers outside such marks must be explained in ``constants.toml``.
"""

from __future__ import annotations

from collections.abc import Callable

FIGURES: dict[str, Callable[..., str]] = {}


def figure(name: str) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Register a function of words that gives a page's text."""

    def register(function: Callable[..., str]) -> Callable[..., str]:
        if name in FIGURES:
            raise ValueError(f"two figures are called {name}")
        FIGURES[name] = function
        return function

    return register
