"""Books made by hand, as their makers would."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
 <rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>"""

OPF = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
 <metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
  <dc:title>The Quiet   Harbor</dc:title><dc:creator>A. Writer</dc:creator><dc:language>en-GB</dc:language>
 </metadata>
 <manifest>
  <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
  <item id="one" href="text/one.xhtml" media-type="application/xhtml+xml"/>
  <item id="two" href="text/two%20half.xhtml" media-type="application/xhtml+xml"/>
  <item id="notes" href="text/notes.xhtml" media-type="application/xhtml+xml"/>
  <item id="pic" href="cover.png" media-type="image/png"/>
 </manifest>
 <spine><itemref idref="nav"/><itemref idref="one"/><itemref idref="two"/>
  <itemref idref="notes" linear="no"/></spine>
</package>"""

NAV = """<?xml version="1.0" encoding="utf-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title/></head><body>
<nav epub:type="landmarks"><ol><li><a href="text/two%20half.xhtml">Start here</a></li></ol></nav>
<nav epub:type="toc"><h1>Contents</h1><ol>
 <li><a href="text/one.xhtml">Dawn</a></li>
 <li><a href="text/two%20half.xhtml">Noon</a><ol>
  <li><a href="text/two%20half.xhtml#dusk">Dusk</a><ol>
   <li><a href="text/two%20half.xhtml#deep">A section</a></li></ol></li></ol></li>
</ol></nav></body></html>"""

ONE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html [<!ENTITY bomb "boom">]>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title/><script src="x.js"/><style>p { color: red }</style></head><body>
<h1>Dawn</h1>
<p>The ferry&nbsp;left<a epub:type="noteref" href="notes.xhtml">1</a> at
 <em>dawn</em>.<!-- said nobody --> It was &quot;cold&quot;.&bomb;</p>
<hr/>
<p>Then the sun rose.<span epub:type="pagebreak">17</span></p>
</body></html>"""

TWO = """<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Two</title></head><body>
<section><p>At noon they ate.</p></section>
<section><a id="dusk"/><h2>Dusk</h2><p>Lights came on.<br/>One by one.</p>
<h3 id="deep">Later</h3><ul><li>A bell.</li><li>A door.</li></ul></section>
</body></html>"""


def epub(changes: Mapping[str, str | bytes | None] | None = None) -> bytes:
    """None as content leaves a file out."""
    files: dict[str, str | bytes | None] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": OPF,
        "OEBPS/nav.xhtml": NAV,
        "OEBPS/text/one.xhtml": ONE,
        "OEBPS/text/two half.xhtml": TWO,
        "OEBPS/text/notes.xhtml": "<html><body><p>A note nobody reads aloud.</p></body></html>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, **(changes or {})}.items():
            if content is not None:
                archive.writestr(name, content)
    return buffer.getvalue()
