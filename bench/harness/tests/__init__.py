"""Unit tests of the harness: python3 -m unittest discover, from bench/."""
