#!/usr/bin/env bash
# CPython 3.14.10, 3.15.2, Linux: what a process sets for itself before Process.start() its
# child does not have by forkserver (the default), once the fork server runs: environment,
# umask, niceness, limits, blocked and ignored signals, standard output.  By fork and by
# spawn it has all of them.
#
# Guess: a child has what its parent had when it called start(), by each method.
# Why: only directory, sys.path and sys.argv are handed over; all else is the server's, and
# is of the time when the first child was started.  This holds for pools, too.
# So: `os.environ[...] = ...` between two starts does not reach the second child, and output
# that was redirected with os.dup2() goes where it went before.  A signal that the parent
# blocks until the child has its handlers can kill the child all the same.  Pass things as
# arguments, or set them in the child.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, os, resource, signal, sys

def child(told):
    told.send([
        f"environment {os.environ.get('COLOUR')}",
        f"umask {os.umask(0):03o}",
        f"niceness + {os.nice(0) - int(os.environ['BEFORE'])}",
        f"files below 99: {resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 99}",
        f"SIGUSR1 blocked {signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, [])}",
        f"SIGHUP ignored {signal.getsignal(signal.SIGHUP) == signal.SIG_IGN}",
        f"output to {os.path.basename(os.readlink('/proc/self/fd/1'))}",
        f"directory {os.getcwd()}",
    ])

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    mine, childs = context.Pipe()
    os.environ["BEFORE"] = str(os.nice(0))
    os.umask(0o022)
    first = context.Process(target=int)
    first.start()
    first.join()
    os.environ["COLOUR"] = "green"
    os.umask(0o077)
    os.nice(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (98, 98))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.dup2(os.open("other", os.O_WRONLY | os.O_CREAT), 1)
    os.chdir("/")
    second = context.Process(target=child, args=(childs,))
    second.start()
    print(sys.argv[1], *mine.recv(), sep="\n  ", file=sys.stderr)
    second.join()
PYTHON
all='  environment green
  umask 077
  niceness + 1
  files below 99: True
  SIGUSR1 blocked True
  SIGHUP ignored True
  output to other
  directory /'
cat >stated <<TEXT
fork
$all
forkserver
  environment None
  umask 022
  niceness + 0
  files below 99: False
  SIGUSR1 blocked False
  SIGHUP ignored False
  output to before
  directory /
spawn
$all
TEXT

for python in python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    for method in fork forkserver spawn; do
        { "$python" main.py "$method" >before; } 2>&1
    done >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done
