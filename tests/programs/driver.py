"""The first process of a family; a test hands this text over as the main script."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    kinds, ending, order, packages = json.loads(sys.argv[1])

    import family

    family.import_in(order, packages)
    family.live(0, kinds, ending)
