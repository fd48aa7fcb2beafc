"""Times, as a line says them."""


def seconds_text(seconds: float) -> str:
    """`12 ms`, `0.4 s`, `3 min`, `2 h`, `5 days`."""
    size = abs(seconds)
    if size < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if size < 10:
        return f"{seconds:.1f} s"
    return ago(seconds)


def ago(seconds: float) -> str:
    """To the largest unit of which there are two."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def bytes_text(count: float) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"
