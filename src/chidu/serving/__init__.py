"""An OpenAI-compatible server for one model.

settings.py    what a server is started with: address, keys, limits
asked.py       requests, checked value by value
answers.py     OpenAI's shapes: completions, chunks, errors
rates.py       how much each caller may ask for in a minute
gate.py        who may enter: keys, rates, size of a body, hosts; what every answer carries
desk.py        so many texts at once, so many that wait; what is measured
guarding.py    prompts and answers judged, verdicts counted and kept; moderation
streams.py     answers by events
asked_apps.py  what the applications are asked for
working.py     long work, watched and counted
applications.py  summaries, translations, answers, passages, reasons
page.py        the page at / and its files, which lie in static/
app.py         the routes
description.py what /openapi.json says of them
connection.py  how long a client may take, and how many there may be
server.py      all of that, listening
"""

from chidu.serving.app import make_app
from chidu.serving.server import make_server
from chidu.serving.settings import Key, ServerSettings

__all__ = ["Key", "ServerSettings", "make_app", "make_server"]
