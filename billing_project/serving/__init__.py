"""How requests come in: those that report single events in batches, on a short way; all others by Django, each in a thread."""
