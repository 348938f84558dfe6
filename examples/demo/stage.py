"""How the tour speaks: short lines, aligned figures, colour only for people."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from typing import Any, Callable, Iterable

_INDENT = "   "
_LABEL, _FIGURE, _BAR = 34, 12, 30
_WIDTH = 92


class Broken(Exception):
    """Something that the tour narrates does not hold."""


def _is_for_people() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _paint(code: str) -> Callable[[str], str]:
    def paint(text: str) -> str:
        wanted = _is_for_people() and not os.environ.get("NO_COLOR")
        return f"\033[{code}m{text}\033[0m" if wanted else text

    return paint


bold, dim, green, yellow = _paint("1"), _paint("2"), _paint("32"), _paint("33")


def line(text: str = "") -> None:
    # Flushed, because the retry callback speaks from another thread and must not be overtaken.
    print(text, flush=True)


def chapter(number: int, title: str) -> None:
    line(f"\n{bold(f'{number}  {title}')}\n")


def say(text: str) -> None:
    line(textwrap.fill(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT))


def quote(text: str) -> None:
    """What the library says, in its own words."""
    for part in textwrap.wrap(text, _WIDTH - 7):
        line(f"{_INDENT}    {yellow(part)}")


def row(label: str, figure: str, note: str = "") -> None:
    line(f"{_INDENT}  {label:<{_LABEL}}{bold(f'{figure:>{_FIGURE}}')}  {dim(note)}".rstrip())


def table(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> None:
    cells = lambda texts: "".join(f"{text:>{_FIGURE}}" for text in texts)
    line(f"{_INDENT}  {'':<{_LABEL}}{dim(cells(heads))}")
    for label, figures in rows:
        line(f"{_INDENT}  {label:<{_LABEL}}{bold(cells(figures))}")


def holds(claim: str, is_so: bool) -> None:
    """Say it only when it is so."""
    if not is_so:
        raise Broken(f"This does not hold: {claim}")
    line(f"{_INDENT}{green('✓')} {claim}")


def found(entry: Any, whose: str) -> Any:
    """The entry, which must be there."""
    if entry is None:
        raise Broken(f"This does not hold: {whose} tokens are in the cache. The library says that they are not.")
    return entry


def progress(done: int, total: int, what: str) -> None:
    """A bar that redraws itself and leaves nothing behind; silent where nobody watches."""
    if not _is_for_people():
        return
    if done >= total:
        print("\r\033[K", end="", flush=True)
        return
    filled = _BAR * done // total
    bar = "█" * filled + dim("░" * (_BAR - filled))
    print(f"\r\033[K{_INDENT}  {bar}  {done:,} of {total:,} {what}", end="", flush=True)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it answers, and the seconds it took."""
    started = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - started


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def megabytes(size: float) -> str:
    return f"{size / 2**20:.1f} MB"
