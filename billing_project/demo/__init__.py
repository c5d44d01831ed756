"""The demo company: a real hour of usage, priced and billed. ``load`` makes it."""
