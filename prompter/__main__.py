"""`python -m prompter` is the command `prompter`."""

import sys

from prompter.cli import main

sys.exit(main())
