"""`python -m analyzer.measuring PARENT PIPE`: a worker, kept before it imports anything heavy: it leaves nothing."""

import sys

from analyzer.processes import keep

if __name__ == "__main__":
    keep(*map(int, sys.argv[1:]))
    from analyzer.measuring.worker import main

    sys.exit(main())
