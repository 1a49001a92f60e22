"""Other people's servers and queues, run for real: `nox -s frameworks` installs them."""
