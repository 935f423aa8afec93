"""`python -m benchmarks`: builds what it needs, measures mcpserve and its peers side by side, prints tables."""

from __future__ import annotations

import os
import sys

from benchmarks import build

if __name__ == "__main__":
    try:
        python = str(build.build_interpreter())
        if python != sys.executable:
            os.execv(python, [python, "-m", "benchmarks", *sys.argv[1:]])
    except build.BuildError as error:
        sys.exit(str(error))
    from benchmarks.comparison import main

    sys.exit(main(sys.argv[1:]))
