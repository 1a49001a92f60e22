"""Reaping: members, guardians and `reap` clean the artifacts of dead members.

Tested by: tests/shared/test_recovery.py
"""
