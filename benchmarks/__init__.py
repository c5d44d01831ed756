"""How fast it is: the real stack, driven over loopback HTTP, beside the raw limits of the same PostgreSQL.

``make bench`` (:mod:`benchmarks.__main__`), ``make soak`` (:mod:`benchmarks.soak`) and ``make growth``
(:mod:`benchmarks.growth`). What the figures mean is in ``docs/performance.md``.
"""
