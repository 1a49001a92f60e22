"""Many processes: what they share is recorded on disk, and the last one out cleans it."""
