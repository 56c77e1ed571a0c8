"""Features made of texts: against scikit-learn, blind to what tests, kept by content."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from made_texts import BAD, GOOD, PLAIN, rows_of_made_texts, table_of_made_texts, text
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer

from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM
from sim.files.preference_files import table_of_rows
from sim.fitting.predict import predict_sets
from sim.fitting.predict_sets import sets_of_rows
from sim.fitting.report import fit
from sim.fitting.save import load_fit
from sim.fitting.settings import FitSettings
from sim.fitting.text import fit_text
from sim.fitting.text_features import cache, learn, words
from sim.fitting.text_features.encoded import learn_directions
from sim.fitting.text_features.learn import featured
from sim.fitting.text_features.texts import response_texts, shown_text
from sim.fitting.text_features.words import learn_words, tf_idf, words_of
from sim.streams import Stream


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pluralign" / "texts"


def _texts(n=60):
    table = table_of_made_texts(people=4, answers=20)
    return list(table.items)[:n]


def _featured(table, features="words", encoder=None):
    return featured(table, features, encoder, Stream(0, cell="fit"), FitSettings(), lambda _: None)


@pytest.mark.parametrize(("dense", "n"), [(500, 60), (16, 15), (3, 60)])
def test_words_are_those_of_scikit_learn(dense, n, monkeypatch):
    """tf-idf entry by entry; features by their inner products with each other, whatever signs the directions have.

    Three ways: by the words' own products, by the few texts, by a sparse decomposition.
    """
    monkeypatch.setattr(words, "_DENSE", dense)
    texts, others = _texts(n), ["Superb, SUPERB and loud; it's new", "nothing known here", ""]
    found = learn_words(texts, 6)
    theirs = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\w+(?:['’]\w+)*").fit(texts)
    assert found.vocabulary == tuple(theirs.get_feature_names_out())
    assert found.idf == pytest.approx(theirs.idf_)
    for some in (texts, others):
        assert tf_idf(some, found.vocabulary, found.idf).toarray() == pytest.approx(theirs.transform(some).toarray())
    _, values, rows = np.linalg.svd(theirs.transform(texts).toarray(), full_matrices=False)
    for some in (texts, others):
        expected = theirs.transform(some).toarray() @ rows[:6].T
        assert np.abs(found.of(some)) == pytest.approx(np.abs(expected), abs=1e-5)
    assert values[5] > values[6] + 1e-3  # six directions are well defined here
    assert (len(found.vocabulary) > dense) == (dense < 500)
    largest = found.directions[np.abs(found.directions).argmax(axis=0), np.arange(6)]
    assert (largest > 0).all()


def test_encoded_texts_go_by_principal_components():
    vectors = np.random.default_rng(0).normal(size=(40, 7)) * [9, 7, 5, 3, 1, 0, 0] + 2
    for some in (vectors, vectors[:6]):
        found = learn_directions(_Encoder(), some, 4)
        theirs = PCA(4, svd_solver="full").fit(some)
        assert found.mean == pytest.approx(theirs.mean_)
        assert np.abs(found.directions.T) == pytest.approx(np.abs(theirs.components_), abs=1e-5)
    assert learn_directions(_Encoder(), vectors, 9).dimension == 5


def test_words_of_odd_texts():
    assert words_of("Don't—STOP  it’s über_1 日本") == ["don't", "stop", "it’s", "über_1", "日本"]
    assert words_of("x" * 100_000) == ["x" * 40]
    assert words_of(" \n\t .,;") == []
    assert learn_words(["one", "two"], 3).vocabulary == ("one", "two")
    assert learn_words(["", " ."], 3).dimension == 0
    assert learn_words(["same"] * 3, 3).dimension == 1


def test_only_training_texts_are_learned_from():
    """Other words in a text that only tests: no feature of a training item changes, nor what was chosen."""
    table = table_of_made_texts(people=16)
    before = _featured(table)
    train = table.rows_of("train")
    used = np.unique(np.concatenate([table.chosen[train], table.rejected[train]]))
    tests = np.setdiff1d(np.arange(len(table.items)), used)
    assert len(tests) > 20
    told = list(table.items)
    for item in tests:
        told[item] = f"unheard words {item} superb superb"
    after = _featured(replace(table, items=tuple(told)))
    assert np.array_equal(before.table.features[used], after.table.features[used])
    assert before.made.vocabulary == after.made.vocabulary
    assert np.array_equal(before.made.idf, after.made.idf)
    assert (before.chosen, before.tried) == (after.chosen, after.tried)
    assert not np.array_equal(before.table.features[tests], after.table.features[tests])
    # Of a training text all of it counts.
    told[used[0]] = "unheard words"
    assert not np.array_equal(before.made.idf, _featured(replace(table, items=tuple(told))).made.idf)


def test_dimension_is_chosen_without_test_answers():
    table = table_of_made_texts(people=16)
    turned = replace(
        table, chosen=np.where(table.rows_of("train"), table.chosen, table.rejected),
        rejected=np.where(table.rows_of("train"), table.rejected, table.chosen),
    )  # fmt: skip
    one, other = _featured(table), _featured(turned)
    assert one.tried == other.tried
    assert one.chosen == max(one.tried, key=lambda candidate: candidate.held_out)
    assert [c.size for c in one.tried][:: len(learn.POOLED_RIDGES)] == sorted({c.size for c in one.tried})


def test_the_split_is_that_of_items_with_features():
    """People who meet the same texts again and again: items are held out, as where the file has features."""
    rows = rows_of_made_texts(people=12, split=False)
    for number, row in enumerate(rows):
        row["chosen"], row["rejected"] = rows[number % 8]["chosen"], rows[number % 8 + 8]["rejected"]
    found = _featured(table_of_rows(rows, "again.jsonl"))
    assert found.held_out == "items"
    side = np.zeros((12, len(found.table.items), 3), dtype=bool)
    for item in (found.table.chosen, found.table.rejected):
        side[found.table.annotator, item, found.table.split] = True
    assert not (side[:, :, 0] & side[:, :, 1]).any()
    assert _featured(table_of_made_texts(people=12, split=False)).held_out == "answers"


def test_the_cache_is_read_and_a_damaged_one_is_made_again(folder, monkeypatch):
    table, made = table_of_made_texts(people=8), []
    monkeypatch.setattr(learn, "learn_words", lambda *given: made.append(1) or learn_words(*given))
    first = _featured(table)
    (path,) = folder.iterdir()
    assert np.array_equal(_featured(table).table.features, first.table.features)
    assert len(made) == 1
    content = path.read_bytes()
    other = io.BytesIO()
    np.savez(other, **{**first.made.arrays(), "features": 2 * first.table.features})
    whole_but_another = content[:33] + other.getvalue()
    for damage in (content[:-40], content[:200] + b"\0" + content[201:], b"", b"x\n", whole_but_another):
        path.write_bytes(damage)
        again = _featured(table)
        assert np.array_equal(again.table.features, first.table.features)
        assert path.read_bytes() == content
    assert len(made) == 6
    _featured(replace(table, items=(table.items[0] + " more", *table.items[1:])))
    assert len(made) == 7
    assert len(list(folder.iterdir())) == 2


def test_where_nothing_can_be_kept_it_goes_on(folder, monkeypatch):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    assert _featured(table_of_made_texts(people=8)).made.dimension > 0
    assert cache.cached({"a": 1}, (["x"],), lambda: {"b": np.ones(2)})["b"].tolist() == [1, 1]


def test_keys_tell_lists_of_texts_apart():
    settings = {"kind": "words"}
    keys = {
        cache.cache_key(settings, texts)
        for texts in (
            (["ab"], ["c"]),
            (["a"], ["bc"]),
            (["ab", "c"], []),
            (["ab"], ["c", ""]),
            (["\ud800"], []),
            (["a", "bc"], []),
        )
    }
    assert len(keys) == 6
    assert cache.cache_key({"kind": "other"}, (["ab"], ["c"])) not in keys


class _Encoder:
    """Two numbers a text, kept like those of a model."""

    kind, place = "embedding", "two numbers"
    identity = {"kind": "embedding", "model": "two"}

    def __init__(self, make=None):
        self.asked, self._make = 0, make

    def encode(self, texts):
        self.asked += 1
        if self._make is not None:
            return self._make(texts)
        return np.array([[sum(word in GOOD for word in text.split()), len(text)] for text in texts], dtype=float)


def test_an_encoder_is_asked_once_a_list_of_texts():
    table, encoder = table_of_made_texts(people=16), _Encoder()
    report = fit(table, FitSettings("pooled", features="two numbers"), encoder=encoder)
    assert encoder.asked == 1
    assert report.as_json()["features"]["kind"] == "embedding"
    assert report.as_json()["features"]["of"] == "two numbers"
    assert report.prepared.scales.names == ("embedding_1", "embedding_2")
    fit(table, FitSettings("pooled", features="two numbers"), encoder=encoder)
    assert encoder.asked == 1


@pytest.mark.parametrize(
    ("change", "encoder", "message"),
    [
        ({"kind": "number"}, None, "features: words are made of texts, and the answers here are numbers; give the"),
        ({"kind": "vector"}, None, "answers here are lists of numbers"),
        ({"items": " "}, None, "features: the .* texts of training answers are all empty or say the same"),
        (
            {}, _Encoder(lambda texts: np.full((len(texts), 2), np.nan)),
            "two numbers: features: the model makes no finite numbers of a text",
        ),
        ({}, _Encoder(lambda texts: np.ones((len(texts), 2))), "all empty or say the same"),
    ],
)  # fmt: skip
def test_what_has_no_texts_is_refused(change, encoder, message):
    table = table_of_made_texts(people=8)
    if "items" in change:
        change = {"items": tuple(" " * (j + 1) for j in range(len(table.items)))}
    with pytest.raises(InputError, match=message):
        _featured(replace(table, **change), "words" if encoder is None else "two numbers", encoder)


def test_encoder_and_settings_go_together():
    table = table_of_made_texts(people=8)
    with pytest.raises(ValueError, match="features: 'words' and the encoder do not go together"):
        fit(table, FitSettings("pooled", features="words"), encoder=_Encoder())
    with pytest.raises(ValueError, match="features: 'embedding' and the encoder do not go together"):
        fit(table, FitSettings("pooled", features="embedding"))


def test_of_a_conversation_the_answer_is_the_item():
    def label(*turns):
        return json.dumps([{"role": role, "content": content} for role, content in turns])

    labels = [
        label(("user", "why?"), ("assistant", "because")),
        label(("assistant", "only this"), ("tool", None)),
        label(("user", "left alone")),
        "a text", "[1]", '{"role": "user"}',
    ]  # fmt: skip
    expected = ["because", "only this\n", "left alone", *labels[3:]]
    assert response_texts(labels, "conversation") == expected
    assert response_texts(labels, "text") == labels


def test_what_is_shown_is_short_and_obeyed_by_nothing():
    assert shown_text("  a\n\tb  ") == "a b"
    assert shown_text("\x1b[31mred\u202e") == r"\x1b[31mred\u202e"
    assert shown_text("x" * 101) == "x" * 97 + "..."
    assert shown_text("x" * 100) == "x" * 100


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return fit(table_of_made_texts(people=40), FitSettings("em-dpo", n_types=2, restarts=2, features="words"))


def test_planted_tastes_are_found(report):
    """Two types, whose examples and words are those that each party wants."""
    assert report.as_json()["adjusted_rand_index"] > 0.9
    told = [group.examples for group in report.groups]
    assert all(len(own.more) == len(own.less) == 3 for own in told)

    def counts(texts):
        found = [word for text in texts for word in text.split()]
        return sum(word in GOOD for word in found), sum(word in BAD for word in found)

    signs, member = set(), report.model.responsibilities.argmax(axis=1)
    for k, own in enumerate(told):
        good, bad = counts(own.more)
        wants_good = good > bad
        parties = [report.prepared.table.group[i] for i in report.prepared.trained if member[i] == k]
        assert (parties.count("good") > len(parties) / 2) == wants_good
        signs.add(wants_good)
        assert max(good, bad) == 9 if wants_good else min(good, bad) == 0
        assert counts(own.less) == ((0, 9) if wants_good else (9, 0))
        wanted, unwanted = (GOOD, BAD) if wants_good else (BAD, GOOD)
        assert set(own.more_words[:4]) == set(wanted)
        assert set(own.less_words[:4]) == set(unwanted)
        assert set(own.more_words[4:]) <= set(PLAIN) | set(wanted)
    assert signs == {True, False}


def test_the_report_says_what_was_made_of_the_texts(report):
    features, selection = report.as_json()["features"], report.as_json()["selection"]["features"]
    assert (features["kind"], features["of"]) == ("words", None)
    assert features["dimension"] == selection["chosen"]["size"] == report.prepared.table.features.shape[1]
    assert features["candidates"] == selection["candidates"]
    assert {row["method"] for row in features["candidates"]} == {"text-features"}
    assert report.as_json()["settings"]["features"] == "words"
    assert (
        "features"
        not in fit(replace(report.prepared.table, split=report.prepared.table.split), FitSettings("pooled")).as_json()
    )


def test_what_the_features_carry_is_the_pooled_score(report):
    """Against the scores beside it, and a strength an item that nobody was asked about: a coin."""
    told = report.as_json()
    for users in ("known_users", "unseen_users"):
        carried = told["features"]["carried"][users]
        for name, own in (("features", "dpo"), ("length", "length"), ("coin", "coin")):
            assert carried[name]["log_likelihood"] == pytest.approx(told["baselines"][own][users]["log_likelihood"])
            limits = carried[name]["log_likelihood_interval"]
            # A few people for whom a coin, or length, does the same have no limits.
            assert limits is not None or name != "features"
            low, high = limits or (-np.inf, np.inf)
            assert low - 1e-12 <= carried[name]["log_likelihood"] <= high + 1e-12
        # Every text is met once: who it is says nothing of another's answer.
        assert carried["items"]["log_likelihood"] == pytest.approx(np.log(0.5))
        assert carried["items"]["over_coin"] == pytest.approx(0, abs=1e-12)
        gain = carried["features"]["log_likelihood"] - np.log(0.5)
        assert carried["features"]["over_coin"] == pytest.approx(gain)
        assert carried["features"]["over_items"] == pytest.approx(gain)
        low, high = carried["features"]["over_items_interval"]
        assert low < gain < high
        assert "over_coin" not in carried["coin"]


def test_who_the_items_are_is_worth_something_where_they_recur():
    """Eight responses to everybody, some better than others: their strengths say it."""
    stream, rows = Stream(5, "recurring"), []
    for i in range(40):
        own = stream.at(replicate=i)
        pairs = own.child("pairs").integers(8, (20, 2))
        draws = own.child("wins").uniforms(20)
        for (a, b), draw in zip(pairs.tolist(), draws.tolist(), strict=True):
            if a != b:
                first, second = (a, b) if draw < 1 / (1 + np.exp(b - a)) else (b, a)
                rows.append({"annotator_id": f"p{i}", "chosen": f"text x{first}", "rejected": f"text x{second}"})
    carried = fit(table_of_rows(rows, "recurring.jsonl"), FitSettings("pooled", features="words", hold_out="answers"))
    known = carried.as_json()["features"]["carried"]["known_users"]
    assert known["items"]["over_coin_interval"][0] > 0.1
    assert known["features"]["over_coin"] == pytest.approx(known["items"]["over_coin"], abs=0.05)


@pytest.mark.parametrize("method", ["cluster", "shared", "personal", "dpo"])
def test_groups_of_other_methods(method):
    sizes = {"cluster": 2, "shared": 1}
    settings = FitSettings(method, n_types=sizes.get(method), restarts=2, features="words")
    report = fit(table_of_made_texts(people=24), settings)
    examples = [group.examples for group in report.groups]
    assert [own is not None for own in examples] == [True] * sizes.get(method, 0) + [False] * (method == "dpo")
    for own in filter(None, examples):
        found = {word for text in (*own.more, *own.less) for word in text.split()}
        assert found & set(GOOD)
        assert found & set(BAD)


def _choices_or_none(people=30, answers=20):
    """Made-up texts, three at a time, or none of them, which is worth as much as a text of mixed words and .6 more."""
    stream, rows = Stream(4, "texts-or-none"), []
    for i in range(people):
        for j in range(answers):
            own = stream.at(replicate=1000 * i + j)
            likes = own.child("likes").integers(4, 3).tolist()
            worth = np.append(1.5 * (1 if i % 2 else -1) * (np.array(likes) - 1.5), 0.6)
            taken = int((worth - np.log(-np.log(own.child("noise").uniforms(4)))).argmax())
            responses = [f"{text(own.child(str(k)), like)} {k}x{i}x{j}" for k, like in enumerate(likes)]
            rows.append({"annotator_id": f"p{i}", "responses": responses, "choice": taken if taken < 3 else -1})
    return rows


def test_none_of_them_is_no_text_and_has_a_constant_of_its_own(tmp_path):
    said = []
    report = fit(
        table_of_rows(_choices_or_none(), "t"),
        FitSettings("em-dpo", n_types=2, restarts=2, features="words", ridge=0.03), said.append,
    )  # fmt: skip
    table = report.prepared.table
    assert f"words of {len(table.items) - 1} texts" in said[0]
    assert not table.features[table.offered.none].any()
    assert {"none", "them"}.isdisjoint(report.texts.found.made.vocabulary)
    assert report.prepared.feature_names[-1] == NONE_OF_THEM
    np.testing.assert_allclose(report.model.theta[:, -1], 0.6, atol=0.4)
    for group in report.groups:
        assert NONE_OF_THEM not in (*group.examples.more, *group.examples.less, *group.favourite_items)
        assert set(group.examples.more_words[:4]) in ({*GOOD}, {*BAD})
    report.save(tmp_path / "fit")
    asked = [{"responses": [" ".join(GOOD), " ".join(BAD)]}]
    table, named = sets_of_rows(asked, "asked")
    found = predict_sets(load_fit(tmp_path / "fit").by_type(), table, named=named)
    by_type = found.value.reshape(2, 3)
    np.testing.assert_allclose(by_type.sum(axis=1), 1.0)
    assert set(by_type.argmax(axis=1).tolist()) == {0, 1}
    assert found.chosen[2] == NONE_OF_THEM


def test_texts_that_tie_are_told_by_examples_too():
    rows = [{**row, "tie": j % 7 == 0} for j, row in enumerate(rows_of_made_texts(people=24, answers=16))]
    found = fit(table_of_rows(rows, "t"), FitSettings("em-dpo", n_types=2, restarts=2, features="words"))
    assert found.prepared.feature_names[-1] == "tie"
    assert all(group.examples.more_words for group in found.groups)
    lines = fit_text({**found.as_json(), "out": "x"}, "x").splitlines()
    named = [line for line in lines if line.startswith("  group") and "people" in line]
    told = [{row["feature"] for row in group["against_pooled"]} for group in found.as_json()["groups"]]
    assert ["tie" in own for own in told] == [line.endswith(" tie") for line in named]


def test_directions_of_equal_values_do_not_hang_on_rounding():
    """Four words that are met as often as each other and never together: three equal values."""
    weights = np.hstack([np.kron(np.eye(4), np.ones((3, 1))), np.ones((12, 1))])
    found = words.leading_directions(csr_array(weights), 8)
    assert found.T @ found == pytest.approx(np.eye(4), abs=1e-12)
    assert np.linalg.norm(weights @ found, axis=0) == pytest.approx(np.linalg.svd(weights)[1][:4])
    rng = np.random.default_rng(0)
    for _ in range(6):
        # Other orders of rows are other orders of sums; words in another order are the same words.
        turned = weights[rng.permutation(12)] * (1.0 + 1e-15 * rng.normal(size=(12, 1)))
        assert words.leading_directions(csr_array(turned), 8) == pytest.approx(found, abs=1e-12)
        assert words.leading_directions(csr_array(turned), 2) == pytest.approx(found[:, :2], abs=1e-12)
    apart = np.diag([3.0, 2.0, 1.0])
    assert words.leading_directions(csr_array(apart), 3) == pytest.approx(np.eye(3))
