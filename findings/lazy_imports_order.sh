#!/usr/bin/env bash
# CPython 3.15.2, -X lazy_imports=all: `from json import loads` is lazy only where json was not
# loaded before; then the name is bound at once.  `import json` is lazy in both cases.
#
# Guess: whether an import statement is lazy depends on the statement and on where it stands.
# Why: hypothesis: a loaded module's attribute is there for the taking, and saves the stand-in.
# So: the same module has stand-ins in its globals or not, depending on who was imported before:
# what looks into globals (picklers, registries of callbacks, copies of modules made for a child)
# has to cope with both, and a test of it that passes proves little for another order.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import json
from json import loads as before

json.dumps  # loads it

import json as again
from json import loads as after

for name in "before", "again", "after":
    print(name, type(globals()[name]).__name__)
PYTHON
cat >stated <<'TEXT'
before lazy_import
again lazy_import
after function
TEXT

"$python" -X lazy_imports=all main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"
