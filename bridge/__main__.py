"""The worker: `python -I <extension>/bridge/__main__.py`, spoken to over its standard input and output."""

import os
import sys
from pathlib import Path

# Isolated mode puts neither this file's folder nor the current one on the path. In the worker `bridge` and
# `models` are top-level packages, whatever Blender calls the extension.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Threads that wait for work would spin, and on a busy machine take the cores from those that have some,
# Blender's among them: generation then takes many times longer. Read when torch loads, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bridge.requirements import open_jobs
from bridge.worker import serve

if __name__ == "__main__":
    serve(open_jobs)
    sys.stderr.flush()
    os._exit(0)  # there is nothing to save; torch takes seconds to take itself apart while Blender waits
