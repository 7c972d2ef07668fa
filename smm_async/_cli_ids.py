"""The ids that a command is about: from its arguments, or from a file of any length."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from io import FileIO
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import anyio
import anyio.to_thread
from cyclopts import Parameter

from smm_async._cli_panel import SettingsError
from smm_async._ids import read_id

__all__ = ["IdFile", "Ids"]

IdFile: TypeAlias = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]

_STDIN: Final = 0
_CHUNK: Final = 64 * 1024


class Ids:
    """Ids from arguments and a file, checked as they come; a file is never whole in memory."""

    def __init__(self, given: Sequence[str], file: Path | None, *, what: str = "order") -> None:
        """Check the arguments.

        Raises:
            SettingsError: one is no id, there are none, or there is no such file.
        """
        if not given and file is None:
            message = f"Which {what}s? Say their ids, or --file PATH, or --file - for the standard input."
            raise SettingsError(message)
        self.given = [_read(text, what) for text in given]
        self._file = file
        self._what = what
        if file is not None:
            self._check(file)

    def _check(self, file: Path) -> None:
        if self._is_stdin and sys.stdin is None:
            message = "There is no standard input to read ids from: it is closed."
            raise SettingsError(message)
        if not self._is_stdin and not os.access(file, os.R_OK):
            message = f"{file} cannot be read: {'you may not' if file.exists() else 'there is no such file'}."
            raise SettingsError(message)
        if not self._is_stdin and file.is_dir():
            message = f"{file} cannot be read: it is a folder."
            raise SettingsError(message)

    @property
    def are_endless(self) -> bool:
        """Whether there may be more than one would hold in memory."""
        return self._file is not None

    async def count(self) -> int | None:
        """Return how many there are, or ``None`` where only their end will tell."""
        if self._file is None:
            return len(self.given)
        # What comes through a pipe is there once.
        if self._is_stdin or not self._file.is_file():
            return None
        return len(self.given) + await anyio.to_thread.run_sync(self._count_in_file)

    async def read(self) -> AsyncGenerator[str, None]:
        """Yield them, read while somebody waits.

        Raises:
            SettingsError: a word of the file is no id.
        """
        for id_ in self.given:
            yield id_
        async with aclosing(self._parts()) as parts:
            async for number, part in parts:
                for word in part.decode("utf-8-sig" if number == 1 else "utf-8", "replace").split():
                    yield _read(word, self._what, f"Line {number}: ")  # noqa: ASYNC119  who reads it closes it

    async def _parts(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the lines of the file with their numbers, a long one in parts, and no word cut in two."""
        if self._file is None:
            return
        source = self._open(self._file)
        number, rest = 1, b""
        try:
            # A longer word is no id anyway.
            while len(rest) <= _CHUNK and (chunk := await self._read_some(source)):
                *lines, last = (rest + chunk).split(b"\n")
                for line in lines:
                    yield number, line
                    number += 1
                words = last.split()
                rest = words[-1] if words and last.endswith(words[-1]) else b""
                yield number, last.removesuffix(rest)
            yield number, rest
        finally:
            source.close()

    def _open(self, file: Path) -> FileIO:
        try:
            # Without a buffer, which would wait until it is full.
            return FileIO(_STDIN, closefd=False) if self._is_stdin else FileIO(file)
        except OSError as error:
            message = f"{file} cannot be read: {error.strerror}."
        raise SettingsError(message)

    async def _read_some(self, source: FileIO) -> bytes:
        # Not in the thread: nobody could end one that waits for a terminal. What cannot be waited for is a file, and is
        # there.
        with suppress(OSError):
            await anyio.wait_readable(source)
        try:
            return await anyio.to_thread.run_sync(source.read, _CHUNK)
        except OSError as error:
            message = f"{self._file} cannot be read any further: {error.strerror}."
        raise SettingsError(message)

    @property
    def _is_stdin(self) -> bool:
        return str(self._file) == "-"

    def _count_in_file(self) -> int:
        assert self._file is not None  # noqa: S101  it was asked before
        with self._file.open("rb") as file:
            return sum(len(line.split()) for line in file)


def _read(text: str, what: str, where: str = "") -> str:
    try:
        return read_id(text, what)
    except ValueError as error:
        message = f"{where}{error}"
        raise SettingsError(message) from None
