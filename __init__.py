"""Dimple: gives any face expression, with generative models that run in a process of their own.

This folder is the Blender extension. Nothing is imported at module level: the worker and the tests import
this package where there is no Blender.
"""


def register() -> None:
    """Add Dimple to Blender."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Take everything of Dimple out of Blender and end its worker."""
    from . import addon

    addon.unregister()
