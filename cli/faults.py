"""The one exception a command raises to end with a sentence instead of a traceback."""

from __future__ import annotations


class Fault(Exception):
    """A command cannot go on; the message is what the user sees, on one line.

    `exit_code` is 1 for the state of the machine and 2 for what was typed or set.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code
