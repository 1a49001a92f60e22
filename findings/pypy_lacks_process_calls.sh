#!/usr/bin/env bash
# PyPy 8.0.1 (Python 3.11.17; Debian's pypy3), Linux: it has no os.waitid, os.posix_spawn,
# os.pidfd_open, os.eventfd, os.splice, os.copy_file_range, os.O_PATH, signal.sigwaitinfo,
# signal.sigtimedwait, signal.pidfd_send_signal, resource.RUSAGE_THREAD; of the same age and
# kind it has os.memfd_create, os.sched_setaffinity, os.register_at_fork, signal.sigwait,
# signal.pthread_sigmask, signal.setitimer.
#
# Guess: what is documented as "Availability: Linux" since 3.3 (waitid, sigtimedwait, O_PATH)
# or 3.8 (posix_spawn) is there in a Python 3.11, but for the newest calls (pidfd_open).
# So: a wait for children that must not reap them (waitid with WNOWAIT), a wait for a signal
# with a deadline (sigtimedwait), a handle on a process (pidfd) have to be done in other ways
# there.  Ask by hasattr(), not by the version.
set -euo pipefail

python=${PYTHON:-pypy3}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import os, resource, signal

names = {
    os: "waitid posix_spawn pidfd_open eventfd splice copy_file_range O_PATH"
        " memfd_create sched_setaffinity register_at_fork",
    signal: "sigwaitinfo sigtimedwait pidfd_send_signal sigwait pthread_sigmask setitimer",
    resource: "RUSAGE_THREAD prlimit",
}
for module, wanted in names.items():
    for there in False, True:
        print(module.__name__, "has" if there else "lacks",
              *(name for name in wanted.split() if hasattr(module, name) == there))
PYTHON
cat >stated <<'TEXT'
os lacks waitid posix_spawn pidfd_open eventfd splice copy_file_range O_PATH
os has memfd_create sched_setaffinity register_at_fork
signal lacks sigwaitinfo sigtimedwait pidfd_send_signal
signal has sigwait pthread_sigmask setitimer
resource lacks RUSAGE_THREAD
resource has prlimit
TEXT

"$python" main.py >seen
diff -u stated seen
echo "as stated on" "$("$python" -V)"
