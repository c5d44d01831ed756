"""How Django writes dates where nothing else is asked for."""
