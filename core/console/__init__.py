"""The look of the back-office console: the theme, how cells read, how long lists are counted."""
