"""A full disk ends the run with one line, takes nothing from readers, and the next run goes on once there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk small enough to fill")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A memory disk of so many bytes over the folder; what is in the folder is copied onto it."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a memory disk here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_full_disk_under_the_warehouse(published_before, undisturbed):
    place, own = published_before, published_before.warehouse.parent
    served = place.release()
    with small_disk(own, size_of(own) + 2_000_000):
        assert " full" in place.run().complaint()
        assert place.release() == served
        grow(own, 2_000_000_000)
        assert place.run().code == 0
        assert place.differences(undisturbed.whole) == []
        assert place.release() != served


def test_full_disk_under_the_published_folder(published_before, undisturbed):
    place = published_before
    served = place.release()
    with small_disk(place.published, size_of(place.published) + 500_000):
        assert " full" in place.run().complaint()
        assert place.release() == served
        grow(place.published, 2_000_000_000)
        assert place.run().code == 0
        assert place.differences(undisturbed.whole) == []
        assert place.release() != served
        assert place.leftovers() == []
