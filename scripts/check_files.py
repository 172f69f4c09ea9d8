"""Checks files for what no compiler sees: length of Rust files, links between documents."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

LONG, TOO_LONG = 500, 600
ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s+<?([^\s>]+)>?")


def files(pattern):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", pattern],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted({ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def prose(document):
    """Numbered lines outside code."""
    fence = None
    for number, line in enumerate(document.read_text().splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = None
        elif fence is None:
            yield number, line


def anchors(document):
    """Headings' anchors, as GitHub forms them."""
    found = set()
    for _, line in prose(document):
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower())
            anchor, name, copy = text.replace(" ", "-"), text.replace(" ", "-"), 0
            while name in found:
                copy += 1
                name = f"{anchor}-{copy}"
            found.add(name)
    return found


def broken(document, target):
    """Why a link leads nowhere, or None."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target) or target.startswith("//"):
        return None  # Other sites are not ours to check.
    path, _, anchor = unquote(target).partition("#")
    base = ROOT if path.startswith("/") else document.parent
    place = base / path.lstrip("/") if path else document
    if not place.exists():
        return "no such file"
    if anchor and place.suffix == ".md" and anchor not in anchors(place):
        return "no such heading"
    return None


def main():
    errors = []
    for source in files("*.rs"):
        lines = len(source.read_text().splitlines())
        name = source.relative_to(ROOT)
        if lines > TOO_LONG:
            errors.append(f"{name}: {lines} lines, {TOO_LONG} are the most; split it")
        elif lines > LONG:
            print(f"warning: {name}: {lines} lines; {TOO_LONG} are the most", file=sys.stderr)
    for document in files("*.md"):
        for number, line in prose(document):
            for link in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
                target = link[1] or link[2]
                why = broken(document, target)
                if why:
                    errors.append(f"{document.relative_to(ROOT)}:{number}: link to {target}: {why}")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
