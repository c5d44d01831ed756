"""Pages of the console that the list of the app's own would be too long with."""
