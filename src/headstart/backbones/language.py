"""Which of the two text starters suits the texts: the English one or the one for many languages."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

_SAMPLE = 4000  # texts looked at, spread evenly over all
_CHARACTERS = 600  # of each text
_OTHER_TEXTS = (
    0.05  # from this share of texts in other languages on, the English starter is too narrow
)
_ENGLISH_WORDS = 0.12  # texts whose words are to this share common English ones are English
_ENGLISH_TEXTS = 0.5  # and so many of them must hold one

# The most frequent words of each language; a text is in the language it shares most words with.
_WORDS = {
    "English": """the of and to a in is it you that he was for on are with as i his they be at one have
        this from or had by but what some we can out other were all there when up your how said an each
        she which do their if will would about then them these so her him has more could my than been
        who its now did get me not no where why does am please want need show tell give turn play set
        stop make find i'm what's don't can't good great bad love like very much because too just""",
    "French": """le la les de des du un une et est à il elle en que qui dans pour pas sur se ce cette son
        sa ses au aux avec plus ne je tu nous vous ils mais ou où par été très bien tout sont fait être
        ont mon ma mes votre notre c'est j'ai y""",
    "German": """der die das und ist in den von zu mit sich des auf für nicht ein eine einer eines einem
        einen dem es im auch als an nach wie er sie ich wir ihr aus bei um am war sind noch nur oder aber
        vor zur bis mehr durch man sein wurde hat haben kein keine sehr mein mir mich bitte was wo wenn""",
    "Spanish": """el la los las de que y en un una es no por con para su se del al lo como más pero sus le
        ya o este esta sí porque muy sin sobre me mi hay está son fue era todo también yo tu qué cómo
        cuando donde nos bien nada tiene gracias""",
    "Portuguese": """o a os as de que e do da em um uma para com não por mais dos das como mas ao ele ela
        seu sua ou quando muito nos já eu também só pelo pela até isso entre era depois sem mesmo aos
        meu minha você são está foi bem bom boa""",
    "Italian": """il lo la i gli le di che e un una è per in con non del della dei delle si da sono come
        più ma anche al alla nel nella ha ho mi ti ci questo questa molto tutto bene perché quando dove
        essere stato mio mia""",
    "Dutch": """de het een van en in is dat op te zijn met voor niet aan er om ook als maar dan zij hij
        bij nog uit naar heeft hebben deze dit wat ik je mijn we werd wordt door over zo geen wel heel
        kan moet""",
    "Polish": """i w na z do się nie jest to że o jak po co tak za od dla ale czy ten ma przez już tylko
        bardzo są był była mnie sobie mi jej jego""",
    "Turkish": """ve bir bu da de için çok ne ile var daha gibi ama en olarak kadar o ben sen mi mı değil
        her şey iyi yok sonra bana olan""",
    "Swedish": """och i att det som en på är av för med den till inte har de ett om jag var så men han hon
        vi kan från mycket när här nu bra""",
    "Indonesian": """yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ke karena ada
        bisa kami sudah atau mereka sangat lebih oleh adalah banyak""",
}  # fmt: skip
_LANGUAGES = {name: frozenset(words.split()) for name, words in _WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SCRIPTS = {
    "CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean",
    "CYRILLIC": "Cyrillic", "ARABIC": "Arabic", "GREEK": "Greek", "HEBREW": "Hebrew", "THAI": "Thai",
    "DEVANAGARI": "Hindi",
}  # fmt: skip
_READS = "which starter:e5 reads and starter:minilm does not"

_WIDE = "starter:e5 reads about a hundred languages"


def choose(texts: Sequence[str]) -> tuple[str, str]:
    """The text starter that suits these texts.

    Args:
        texts: the texts, or a part of them.

    Returns:
        "e5" or "minilm", and why: one sentence for the user. In doubt it is "e5", which reads English
        too: the English starter is quicker, but loses most of other languages.
    """
    seen = _sample(texts)
    scripts = [_letters(text) for text in seen]
    letters = sum(scripts, Counter())
    total = sum(letters.values())
    if not total:
        return "e5", f"there are no words to judge by, and {_WIDE}"
    foreign = [bool(found) and found["Latin"] < 0.8 * sum(found.values()) for found in scripts]
    outside = 1 - letters["Latin"] / total
    if max(_share(foreign), outside) >= _OTHER_TEXTS:
        return "e5", _script_reason(letters, outside, _share(foreign))
    return _among_latin(seen)


def _sample(texts: Sequence[str]) -> list[str]:
    rows = np.linspace(0, len(texts) - 1, min(len(texts), _SAMPLE)).astype(int)
    return [unicodedata.normalize("NFC", texts[row][:_CHARACTERS]) for row in rows]


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return sum(found) / max(1, len(found))


def _letters(text: str) -> Counter[str]:
    """How many letters of each script; "Latin" for those of Western languages."""
    found: Counter[str] = Counter()
    for character in text:
        if character.isascii():
            found["Latin"] += character.isalpha()
        elif character.isalpha():
            script = unicodedata.name(character, "OTHER").split()[0]
            # full-width letters, and signs such as ª and µ, stand in any text
            latin = script in ("LATIN", "FULLWIDTH", "FEMININE", "MASCULINE", "MICRO", "MODIFIER")
            found["Latin" if latin else script] += 1
    return +found


def _script_reason(letters: Counter[str], outside: float, rows: float) -> str:
    main = letters.copy()
    del main["Latin"]
    kana = main["HIRAGANA"] + main["KATAKANA"]
    script = "HIRAGANA" if kana > 0.1 * sum(main.values()) else main.most_common(1)[0][0]
    name = _SCRIPTS.get(script, "not in Latin letters")
    if outside >= 0.5:
        return f"most texts are {name} ({outside:.0%} of letters), {_READS}".replace("%", " %")
    if rows >= _OTHER_TEXTS:
        return f"{rows:.0%} of the texts are {name} in part, {_READS}".replace("%", " %")
    return f"{outside:.0%} of the letters are {name}, {_READS}".replace("%", " %")


def _among_latin(texts: Sequence[str]) -> tuple[str, str]:
    """English or another language in Latin letters, told by the most frequent words of each."""
    per_text: Counter[str] = Counter()
    words_seen = english = 0
    for text in texts:
        words = _WORD.findall(text.lower().replace("’", "'"))
        hits = {name: sum(word in common for word in words) for name, common in _LANGUAGES.items()}
        words_seen += len(words)
        english += hits["English"]
        best = max(hits, key=lambda name: (hits[name], name == "English"))
        per_text[best if hits[best] else "unknown"] += 1
    known = Counter({name: n for name, n in per_text.items() if name not in ("English", "unknown")})
    others = sum(known.values()) / len(texts)
    share = english / max(1, words_seen)
    if others >= _OTHER_TEXTS:
        name, count = known.most_common(1)[0]
        if count >= 0.5 * len(texts):
            return "e5", f"most texts look {name}, {_READS}"
        return "e5", f"{others:.0%} of the texts do not look English, and {_WIDE}".replace(
            "%", " %"
        )
    if share < _ENGLISH_WORDS or per_text["English"] < _ENGLISH_TEXTS * len(texts):
        return "e5", f"the texts hold too few common words to tell their language, and {_WIDE}"
    why = f"the texts are English ({share:.0%} of words are common English ones)".replace("%", " %")
    return "minilm", f"{why}, which starter:minilm reads fastest"
