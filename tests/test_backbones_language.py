"""Which text starter suits the texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.backbones.language import choose

ENGLISH = [
    "The operating profit rose to EUR 13.1 mn from EUR 8.7 mn in the period of 2007 .",
    "Nokia Oyj and Päijät-Hämeen Ltd did not give the value of the order",
    "I would never buy this again, it broke after two days",
    "what is the weather like in Paris",
]
COMMANDS = [
    "play jazz", "turn on the lights", "stop the music", "set an alarm for seven", "what's the time",
    "transfer $100 to my savings", "spell onomatopoeia", "who sings this", "call mum",
]  # fmt: skip
CHINESE = ["这个手机很好用，屏幕清晰", "物流太慢了", "屏幕有划痕，iPhone 不如以前", "一般般"]
FRENCH = ["Le produit est arrivé cassé, je ne suis pas content", "très bien", "C'est une honte"]
GERMAN = [
    "Das ist ein sehr gutes Buch",
    "Der Film war nicht gut",
    "Ich würde es nicht noch einmal kaufen",
]
SPANISH = ["El producto es muy malo", "no funciona, pero la tienda es buena", "gracias por todo"]
CODES = [
    "XR-1020 M8x40",
    "SKU 99-12 B",
    "DIN 912 M6",
    "bosch gsr 18v",
    "makita 190mm",
    "HDMI 2.1 4K",
]


def test_english_texts_get_the_english_starter():
    for texts in (ENGLISH, COMMANDS, ["play jazz"], ENGLISH * 1000):
        name, why = choose(texts)
        assert name == "minilm", texts[:3]
        assert "English" in why


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (CHINESE, "Chinese"),
        (["これはとても良いです", "悪い商品でした"], "Japanese"),
        (["정말 좋은 제품입니다"], "Korean"),
        (["Очень хорошо", "Не понравилось"], "Cyrillic"),
        (["منتج جيد جدا"], "Arabic"),
        (FRENCH, "French"),
        (GERMAN, "German"),
        (SPANISH, "Spanish"),
        (CODES, "too few common words"),
        (["good", "XR-12", "hyvä tuote", "toimii hyvin", "rất tốt"], ""),
        ([], "no words"),
        (["", "  ", "12 34", "!!"], "no words"),
    ],
)
def test_all_else_gets_the_starter_for_many_languages(texts, says):
    name, why = choose(texts)
    assert name == "e5"
    assert says in why
    assert "\n" not in why


@pytest.mark.parametrize("other", [CHINESE, FRENCH, GERMAN, SPANISH])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_mixture_gets_the_starter_for_many_languages(other, share):
    n = 400
    foreign = round(n * share)
    texts = (COMMANDS * n)[: n - foreign] + (other * n)[:foreign]
    assert choose(texts)[0] == "e5"
    assert choose(texts[::-1])[0] == "e5"


def test_a_stray_foreign_text_does_not_make_english_foreign():
    assert choose(COMMANDS * 100 + CHINESE)[0] == "minilm"


def test_letters_of_formulas_and_full_width_forms_are_not_another_language():
    texts = [text + " 5 µm, λ, ｏｋ, 3ª" for text in ENGLISH]
    assert choose(texts)[0] == "minilm"


@given(st.lists(st.text(max_size=40), max_size=12))
def test_any_texts_get_an_answer(texts):
    name, why = choose(texts)
    assert name in ("e5", "minilm")
    assert why
