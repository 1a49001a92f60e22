"""Guardian: a process of its own that reaps a scope, and how members come to have one."""
