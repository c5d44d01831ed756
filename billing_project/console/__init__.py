"""The console as a whole: its theme, its menu, its start page."""
