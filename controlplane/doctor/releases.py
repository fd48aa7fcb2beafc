"""How far two releases are apart."""


def releases_apart(theirs: str, ours: str) -> int:
    """By minor releases: 1 where theirs is the next one, -2 where two lie between; 0 where one is none."""
    try:
        major, minor = (int(part) for part in theirs.split(".")[:2])
        our_major, our_minor = (int(part) for part in ours.split(".")[:2])
    except ValueError:
        return 0
    return minor - our_minor if major == our_major else (major - our_major) * 100
