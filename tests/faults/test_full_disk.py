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

PLENTY = 2_000_000_000


@contextmanager
def small_disk(folder: Path, free: int) -> Iterator[None]:
    """A memory disk over the folder that holds what is in the folder and has so many bytes free."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a memory disk here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        resize(folder, shutil.disk_usage(folder).used + free)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def test_full_disk_under_the_warehouse_and_then_under_the_published_folder(published_before, undisturbed):
    place, own = published_before, published_before.warehouse.parent
    served = place.release()
    with small_disk(own, free=2_000_000), small_disk(place.published, free=500_000):
        assert " full" in place.run().complaint()
        assert place.release() == served
        resize(own, PLENTY)
        told = place.run().complaint()
        assert " full" in told and str(place.published) in told
        assert place.release() == served
        resize(place.published, PLENTY)
        assert place.run().code == 0
        assert place.differences(undisturbed.whole) == []
        assert place.release() != served
        assert place.leftovers() == []
