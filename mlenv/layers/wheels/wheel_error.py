"""How the parts of a wheel's reader say that something is wrong, before it is known which wheel it is."""


class BadWheelError(Exception):
    """One line that says what is wrong; `open_wheel` makes a RefusedError of it."""
