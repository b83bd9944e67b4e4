"""Applications to compare with."""
