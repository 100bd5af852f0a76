"""The generative models of Dimple: torch and numpy, never Blender."""
