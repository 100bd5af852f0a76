"""The Blender side of Dimple: reads heads, hands jobs to the worker, writes results."""

# Nothing is imported here: `python -m addon` loads this package before it knows what lies above it.


def register() -> None:
    """Add everything to Blender."""
    from .registration import register_all

    register_all()


def unregister() -> None:
    """Take everything out again, end the worker, remove its files."""
    from .session import session

    session.registered.close()
