"""The two errors that reach an artist. Each message is one sentence that says what to do."""


class InputError(ValueError):
    """What was asked for cannot be done: a wrong name, number, head or file."""


class CheckpointError(RuntimeError):
    """The trained model is missing, damaged or does not fit the head."""
