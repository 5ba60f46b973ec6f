"""Command line: obtain the peers, then print a table of them. Missing peers do not make it fail."""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scripts.peers import debian, golang, pypi
from scripts.peers.peer import Peer, UnobtainableError, peers_folder
from scripts.peers.session import Session
from scripts.peers.table import Record, found_record, read_records, table, write_records

# Quick ones first, so that a run that is stopped in a long build has obtained the others.
PEERS: tuple[Peer, ...] = (*pypi.PEERS, *debian.PEERS, *golang.PEERS)

# Chosen: a blank machine with two cores is done within half an hour, whatever hangs.
LIMIT_S = 28 * 60.0

EXAMPLES = """\
examples:
  python3 -m scripts.peers                       obtain what is missing, then print the table
  python3 -m scripts.peers --list                print the table, obtain nothing
  python3 -m scripts.peers --only redis jaeger   these two only

Peers are kept in ${XDG_CACHE_HOME:-~/.cache}/otel-wfperf/peers: peers.json is what the tests read, logs/ holds all that
the tools printed. Debian packages are installed only by root. What could not be had is tried again by the next run.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    chosen = [peer for peer in PEERS if not options.only or peer.name in options.only]
    folder = peers_folder()
    session = Session(folder=folder, deadline_s=time.monotonic() + LIMIT_S)
    if not options.list:
        # Builds give way to whatever else the machine does.
        os.nice(10)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(session):
            for peer in chosen:
                write_records(folder, {**read_records(folder), peer.name: _obtained(peer, session)})
    known = read_records(folder)
    print(table({peer.name: _looked_up(peer, session, known) for peer in chosen}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m scripts.peers",
        description="Obtain the real components that the tests talk to.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--list", action="store_true", help="print the table without obtaining anything")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"only these: {', '.join(names)}")
    return parser


def _obtained(peer: Peer, session: Session) -> Record:
    found = peer.find(session.folder)
    if found is not None:
        return found_record(found)
    here = session.for_peer(peer.name, peer.limit_s)
    began = time.monotonic()
    try:
        found = peer.obtain(here)
    except UnobtainableError as error:
        here.say(f"missing: {error}")
        return Record(reason=str(error))
    here.say(f"obtained {found.version} in {time.monotonic() - began:.0f} s")
    return found_record(found)


def _looked_up(peer: Peer, session: Session, known: dict[str, Record]) -> Record:
    found = peer.find(session.folder)
    if found is not None:
        return found_record(found)
    record = known.get(peer.name, Record())
    return record if record.reason else Record(reason="not obtained yet; run `make peers`")


@contextmanager
def _alone(session: Session) -> Iterator[None]:
    """Wait for another run on the same folder to end."""
    with (session.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            session.say("waiting for another run to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    # Ended from outside, it still ends what it started and puts back what it changed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
