"""What keeps a recording from being made: one line for the user."""


class Fault(Exception):
    """The message says what is wrong, where, and what would do."""
