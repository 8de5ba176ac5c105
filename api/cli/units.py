"""Numbers as people read them: sizes in the unit that fits, times in words."""

from __future__ import annotations


def byte_size(count: int) -> str:
    """A number of bytes in the binary unit that fits."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{size:,.2f} {unit}"


def duration(seconds: float) -> str:
    """A time in its two largest units: `13 d 13 h`, `2 h 5 min`, `45 s`."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
