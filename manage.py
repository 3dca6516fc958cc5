#!/usr/bin/env python
"""Django's command line, for HyreLog."""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["up"]:
        # It makes what the settings read, so it comes before them.
        from hyrelog.dev.up import main

        main(sys.argv[2:])
        sys.exit()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyrelog.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
