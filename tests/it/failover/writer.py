"""Writes small rows into the cluster of a cluster.json and says which are acknowledged, until told to stop.

  python3 writer.py FOLDER/cluster.json

Standard output has `ack ID` for each row whose COMMIT was answered without a warning, and `asked again ID`
when the fate of one was unknown. Standard input that ends stops it; then it says `end`.
"""

import json
import select
import sys
import threading
import urllib.parse

import psycopg2
from psycopg2 import extensions

WRITERS = 4
# Between two writes of one writer, in seconds: a machine that also has to run three databases is not to be
# flooded.
PAUSE = 0.005
# How long a host may say nothing, in seconds: a machine that hangs or is cut off does not say so.
SILENCE_MAX = 3
# An answer that says "done" and means "on this machine alone".
NOT_REPLICATED = "canceling wait for synchronous replication"
TABLE = "CREATE TABLE small_write (id BIGINT PRIMARY KEY, written BIGINT NOT NULL)"
# The second time it must write, too: a row that is there may be there on this machine alone, and what only
# reads waits for no standby.
WRITE = """INSERT INTO small_write (id, written) VALUES (%s, 1)
           ON CONFLICT (id) DO UPDATE SET written = small_write.written + 1"""

stopping = threading.Event()
speaking = threading.Lock()


def say(line):
    """Prints one line, whole."""
    with speaking:
        print(line, flush=True)


def hosts(url):
    """A URL of several hosts as one set of words for each."""
    parts = urllib.parse.urlsplit(url)
    user, places = parts.netloc.split("@")
    words = dict(urllib.parse.parse_qsl(parts.query), user=user, dbname=parts.path.lstrip("/"))
    for place in places.split(","):
        host, port = place.split(":")
        yield dict(words, host=host, port=port)


def answer(connection):
    """Waits for the host."""
    while (state := connection.poll()) != extensions.POLL_OK:
        reads, writes = ([connection], []) if state == extensions.POLL_READ else ([], [connection])
        if not any(select.select(reads, writes, [], SILENCE_MAX)):
            raise psycopg2.OperationalError("it says nothing")


def primary(url):
    """A connection to the host that takes writes; asks one after the other, until there is one."""
    while not stopping.is_set():
        for words in hosts(url):
            try:
                connection = psycopg2.connect(**words)
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_is_in_recovery()")
                    if not cursor.fetchone()[0]:
                        return connection
                connection.close()
            except psycopg2.Error:
                pass
        stopping.wait(0.2)
    return None


def write(url, which):
    """Writes rows one after the other; one whose fate is unknown again, until it is known."""
    connection, number, again = primary(url), 0, False
    while connection and not stopping.is_set():
        row = number * WRITERS + which
        try:
            del connection.notices[:]
            with connection.cursor() as cursor:
                cursor.execute(WRITE, (row,))
            if any(NOT_REPLICATED in notice for notice in connection.notices):
                raise psycopg2.OperationalError("it is on one machine")
        except psycopg2.Error:
            say(f"asked again {row}")
            connection.close()
            connection, again = primary(url), True
            continue
        say(f"ack {row}{' again' if again else ''}")
        number, again = number + 1, False
        stopping.wait(PAUSE)


def main():
    """Runs the writers until standard input ends."""
    extensions.set_wait_callback(answer)
    with open(sys.argv[1], encoding="utf-8") as file:
        known = json.load(file)
    owner = primary(known["owner"])
    with owner.cursor() as cursor:
        cursor.execute(TABLE)
    owner.close()
    writers = [threading.Thread(target=write, args=(known["database"], which), daemon=True)
               for which in range(WRITERS)]
    for writer in writers:
        writer.start()
    sys.stdin.read()
    stopping.set()
    for writer in writers:
        writer.join(10)
    say("end")


main()
