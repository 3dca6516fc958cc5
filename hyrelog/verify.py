"""`python -m hyrelog.verify ARCHIVE`: the verifier that each archive carries, from the source that you installed.

Needs neither settings nor a database. From within an unpacked archive call it with `python -I`: else Python would look
for modules in the current folder first, which is the archive's.
"""

import sys

from gdpr.verify import main

if __name__ == "__main__":
    sys.exit(main())
