"""What a test leaves behind, for `--lastout-leaks`."""
