"""Languages by their two-letter codes (ISO 639-1)."""

from __future__ import annotations

from chidu.errors import SettingError, nearest

__all__ = ["LANGUAGES", "check_language"]

LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Code → what the language is called."""


def check_language(code: str, named: str) -> str:
    """Return a language's two-letter code, of `zh_CN` too. Raises SettingError where it is none that is known here."""
    short = code.strip().lower().replace("_", "-").partition("-")[0]
    if short not in LANGUAGES:
        hint, known = nearest(short, LANGUAGES), ", ".join(LANGUAGES)
        raise SettingError(f"{named}: {code[:40]!r} is no language known here{hint}: name one of {known}")
    return short
