#!/usr/bin/env bash
# s3fs 2026.9.0 (fsspec 2026.9.0), against the S3 server of moto 5.2.5, CPython 3.12, Linux:
# `rm("shop/job/", recursive=True)` removes the object `shop/job` as well, which does not begin
# with that prefix.  `rm(["shop/job/"])` removes `shop/job` and nothing below `shop/job/`.
#
# Guess: a trailing slash means the prefix, as in S3 itself: what is below `job/` goes, and the
# object `job` beside it stays.
# Why: the path loses its slash before it is looked up, and S3 lets an object and a prefix have
# the same name.
# So: list with `find`, keep the names that begin with the prefix and its slash, and remove each
# with `rm_file`; lastout's kind "url" does that.
set -euo pipefail

python=${PYTHON:-python3.12}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check \
    s3fs==2026.9.0 fsspec==2026.9.0 'moto[s3,server]==5.2.5'

cat >main.py <<'PYTHON'
import logging, os

os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1")
logging.getLogger("werkzeug").setLevel(logging.ERROR)

import s3fs
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(port=0, verbose=False)
server.start()
store = s3fs.S3FileSystem(endpoint_url="http://{}:{}".format(*server.get_host_and_port()))
store.mkdir("shop")
for what, remove in (
    ("rm(recursive=True)", lambda: store.rm("shop/job/", recursive=True)),
    ("rm([prefix])", lambda: store.rm(["shop/job/"])),
):
    for name in ("job", "job/part-1", "job/part-2", "job-2"):
        store.pipe(f"shop/{name}", b"x")
    store.invalidate_cache()
    remove()
    store.invalidate_cache()
    print(what, "left:", *sorted(store.find("shop")))
server.stop()
PYTHON
cat >stated <<'TEXT'
rm(recursive=True) left: shop/job-2
rm([prefix]) left: shop/job-2 shop/job/part-1 shop/job/part-2
TEXT

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"
