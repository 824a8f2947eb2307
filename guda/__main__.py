import os

# Threads that spin for each other make a small model on a busy machine ninety times slower. Read
# when torch is first imported, so it comes before everything else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .cli import main

raise SystemExit(main())
