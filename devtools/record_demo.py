"""Records `./pipeline demo` as an animated SVG for the README.

    python -m devtools.record_demo docs/demo.svg --minutes 1 --down

Every line appears when it was printed, with time compressed: set-up takes minutes, and nobody
watches those.
"""

import subprocess
import sys
import time
from html import escape
from pathlib import Path

_COLUMNS, _ROWS = 112, 30
_FONT_SIZE, _LINE_HEIGHT = 13, 18
_MARGIN = 16
_LONGEST_PAUSE_SECONDS = 1.2
_SPEED = 4.0
_LAST_SECONDS = 8.0


def main(target: Path, arguments: list[str]) -> None:
    """Run the demo and write the recording.

    Raises:
        CalledProcessError: the demo failed.
    """
    command = ["./pipeline", "demo", *arguments]
    frames: list[tuple[float, str]] = [(0.0, f"$ {' '.join(command)}")]
    moment, last = 0.5, time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            now = time.monotonic()
            moment += min((now - last) / _SPEED, _LONGEST_PAUSE_SECONDS)
            last = now
            text = line.rstrip()
            if "password" not in text:
                frames += [
                    (moment, text[i : i + _COLUMNS]) for i in range(0, len(text) or 1, _COLUMNS)
                ]
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    target.write_text(_svg(frames, moment + _LAST_SECONDS))


def _svg(frames: list[tuple[float, str]], length: float) -> str:
    """Draw a terminal that shows the last lines at each moment, again and again."""
    width = round(_COLUMNS * _FONT_SIZE * 0.6) + 2 * _MARGIN
    height = _ROWS * _LINE_HEIGHT + 2 * _MARGIN
    shown = [
        f'<text y="{(number + 1) * _LINE_HEIGHT}" class="l" style="animation-name:l{number}" '
        f'xml:space="preserve">{escape(text)}</text>'
        for number, (_, text) in enumerate(frames)
    ]
    appear = [
        f"@keyframes l{number}{{0%,{_share(moment, length)}{{opacity:0}}"
        f"{_share(moment + 0.01, length)},100%{{opacity:1}}}}"
        for number, (moment, _) in enumerate(frames)
    ]
    steps = [
        f"{_share(moment, length)}{{transform:translateY({(_ROWS - 1 - number) * _LINE_HEIGHT}px)}}"
        for number, (moment, _) in enumerate(frames)
        if number >= _ROWS
    ]
    scroll = f"@keyframes s{{0%{{transform:none}}{''.join(steps)}}}" if steps else ""
    style = (
        f".l{{font:{_FONT_SIZE}px ui-monospace,Menlo,Consolas,monospace;fill:#d4d4d4;"
        f"animation:{length:.2f}s step-end infinite}}"
        f".s{{animation:s {length:.2f}s step-end infinite}}{scroll}{''.join(appear)}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Recording of ./pipeline demo"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e1e1e"/>'
        f'<svg x="{_MARGIN}" y="{_MARGIN}" width="{width - 2 * _MARGIN}" '
        f'height="{_ROWS * _LINE_HEIGHT + 6}"><g class="s">{"".join(shown)}</g></svg></svg>\n'
    )


def _share(moment: float, length: float) -> str:
    return f"{100 * moment / length:.3f}%"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
