"""The HTTP face: parse, submit, await, answer."""
