"""Examples below a command's help."""


def examples(*lines: str) -> str:
    """As an epilog."""
    return "\n".join(("Examples:", *(f"  {line}" for line in lines)))
