"""Numbers in sentences."""


def counted(number: int, thing: str) -> str:
    """`1 replica`, `2,000 replicas`"""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def wanted(number: int, more: str = "") -> str:
    """`1 replica is wanted`, `2 more replicas are wanted`"""
    between = f" {more}" if more else ""
    return f"{number:,}{between} replica{' is' if number == 1 else 's are'} wanted"
