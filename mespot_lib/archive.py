"""Zip archives of unknown origin: what speaks against one, read from its directory before anything is unpacked.

A workbook is a zip archive, and so is a challenge submission; both come from elsewhere.
"""

import re
import stat
import zipfile

MOST_MEMBERS = 1000
LARGEST_RATIO = 200  # unpacked over packed; tables of numbers compress ten- to thirtyfold
_HARMLESS = 2**20  # bytes after unpacking, up to which the ratio does not matter


def archive_faults(archive: zipfile.ZipFile, largest: int) -> list[str]:
    """Return why an archive must not be unpacked, one phrase each; an empty list if nothing speaks against it.

    Parameters
    ----------
    archive : opened for reading. Its directory alone is looked at: Python unpacks no more of a member than its entry
        there says, so a false size does not get past this.
    largest : bytes that all members may have together.
    """
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:  # nobody wants to read so many lines
        return [f"holds {len(members)} files, more than {MOST_MEMBERS}"]
    return [
        *_size_faults(members, largest),
        *(fault for member in members for fault in _member_faults(member)),
    ]


def _size_faults(members: list[zipfile.ZipInfo], largest: int) -> list[str]:
    unpacked, packed = (sum(getattr(m, size) for m in members) for size in ("file_size", "compress_size"))
    if unpacked > largest:
        return [f"{unpacked / 2**20:.0f} MB when unpacked, more than {largest / 2**20:.0f} MB"]
    if unpacked > _HARMLESS and unpacked > LARGEST_RATIO * packed:
        return [f"unpacks to more than {LARGEST_RATIO} times its size"]
    names = [member.filename for member in members]
    return [f"{name!r} stands in it twice" for name in sorted({n for n in names if names.count(n) > 1})]


def _member_faults(member: zipfile.ZipInfo) -> list[str]:
    name = member.orig_filename  # as stored; `filename` is cut at the first zero byte
    parts = re.split(r"[/\\]", name)
    faults = []
    if (
        name.startswith(("/", "\\"))
        or re.match(r"[A-Za-z]:", name)
        or ".." in parts
        or not name.isprintable()
    ):
        faults.append(f"{name[:80]!r} would leave the folder it is unpacked to")
    if stat.S_ISLNK(member.external_attr >> 16):
        faults.append(f"{name[:80]!r} is a link")
    if member.flag_bits & 1:
        faults.append(f"{name[:80]!r} is encrypted")
    return faults
