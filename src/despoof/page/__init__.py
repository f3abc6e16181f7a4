"""What a page for people has wherever it judges: its look, its words, and the ways a photo comes in.

`FILES` are those of style and script by name, beside which a page lays its own: in `service/` the one that asks this
server, in `web/` the one that judges in the browser.
"""

from pathlib import Path

FILES = {path.name: path for path in sorted(Path(__file__).parent.iterdir()) if path.suffix in (".css", ".js")}
