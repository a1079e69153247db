"""One thread in a process of tests, where several of them share the cores.

Two processes of two threads each wait for one another on two cores: products of matrices then take
tens of times as long. Who sets OMP_NUM_THREADS, as `tests/isa.py` does, is obeyed.
"""

import os

# Before the first import of numpy or torch, which read it once; processes that tests start inherit.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
