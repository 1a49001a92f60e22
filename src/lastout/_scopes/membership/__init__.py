"""Membership: this process in one scope, from joining to leaving."""
