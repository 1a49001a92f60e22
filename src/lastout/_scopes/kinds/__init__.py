"""Kinds of artifacts: how each is made, and how it is cleaned from its record alone.

Tested by: tests/shared/test_cleaners.py
"""
