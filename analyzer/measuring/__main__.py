"""`python -m analyzer.measuring PARENT`: a worker, kept before it imports anything heavy, so that it leaves nothing."""

import sys

from analyzer.processes import keep

if __name__ == "__main__":
    keep(int(sys.argv[1]))
    from analyzer.measuring.worker import main

    sys.exit(main())
