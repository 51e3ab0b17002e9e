"""An OpenAI-compatible server for one model.

settings.py  what a server is started with: address, keys, limits
asked.py     requests, checked value by value
answers.py   OpenAI's shapes: completions, chunks, errors
gate.py      who may enter: keys, size of a body, hosts; what every answer carries
desk.py      so many texts at once, so many that wait; what is measured
guarding.py  prompts and answers judged, verdicts counted and kept; moderation
app.py       the routes
"""

from chidu.serving.app import make_app
from chidu.serving.settings import ServerSettings

__all__ = ["ServerSettings", "make_app"]
