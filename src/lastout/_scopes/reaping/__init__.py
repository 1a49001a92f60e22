"""Reaping: what the dead have left is cleaned, by members, by guardians and by `reap`.

Tested by: tests/shared/test_recovery.py
"""
