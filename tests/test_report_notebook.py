"""What a notebook shows."""

import report_examples as ex
from headstart.report.notebook import card, predictions
from headstart.types import Prediction
from test_report_page_html import read


def test_the_card_shows_the_metrics_and_a_small_matrix():
    report = ex.waste()
    reader = read(card(report))
    told = " ".join(reader.text).replace("\u00a0", " ")
    for name, metric in report.evaluation.metrics.items():
        assert (
            f"{metric.value:.2f}" if name == "log_loss" else f"{100 * metric.value:.1f} %"
        ) in told
    assert reader.tags.count("table") == 2
    matrix = [text for text in reader.text if text == str(report.evaluation.confusion[3, 3])]
    assert matrix


def test_many_classes_have_no_matrix():
    assert read(card(ex.intents(30, 90))).tags.count("table") == 1


def test_predictions_are_a_table():
    reader = read(
        predictions(
            [
                Prediction("a.jpg", "cat", 0.913, ("cat", "dog")),
                Prediction(
                    "b.jpg", "dog", 0.4, ("dog",), abstained=True, reason="probability below 0.5"
                ),
                Prediction("c.jpg", None, None, abstained=True, reason="empty file"),
            ]
        )
    )
    told = " ".join(reader.text).replace("\u00a0", " ")
    assert reader.tags.count("tr") == 4
    for part in ("91.3 %", "cat, dog", "withheld", "probability below 0.5", "empty file"):
        assert part in told


def test_long_lists_are_cut_and_say_so():
    text = predictions([Prediction(f"{i}.jpg", "cat", 0.9, ("cat",)) for i in range(150)])
    assert read(text).tags.count("tr") == 101
    assert "and 50 more" in text


def test_hostile_data_is_only_text():
    allowed = {"div", "p", "b", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
    shown = [card(ex.hostile(k=4, n=12, skipped=2))]
    shown.append(predictions([Prediction(a, a, 0.5, (a, a), True, a) for a in ex.ATTACKS]))
    for text in shown:
        reader = read(text)
        assert set(reader.tags) <= allowed
        assert {name for _, name, _ in reader.attributes} <= {"style", "scope"}


def test_the_card_says_how_far_to_trust_it():
    told = " ".join(read(card(ex.waste())).text).replace("\u00a0", " ")
    for part in ("points off on average", "It answers", "200 more labels", "Over 5 splits"):
        assert part in told
    assert "Over" not in " ".join(read(card(ex.reviews())).text)


def test_leaked_rows_are_a_warning():
    assert "40 of the 240 rows" in " ".join(read(card(ex.spam())).text)
