"""`python -m sam2v.cli`."""

import sys

from sam2v.cli.main import main

sys.exit(main())
