"""Skin that is painted from a seed, after anatomy: neither captured nor generated."""
