"""The MovieLens converter: honest splits, ties dropped, clear errors; and the claim it exists for."""

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner
from real_files import real_file

from pluralign.commands.convert import command
from sim.converters import movielens, movielens_files
from sim.converters.movielens import ConversionSettings, convert_movielens
from sim.errors import InputError
from sim.files.preference_files import read_pairs
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.streams import Stream

MOVIES = "movieId,title,genres\n" + "".join(
    f'{m},"Film {m}, The ({1950 + m})",{"Drama|War" if m % 2 else "Comedy"}\n' for m in range(1, 61)
)


def _ratings(users=12, films=40, seed=0):
    stars = Stream(seed, "ratings").integers(10, (users, films)) / 2 + 0.5
    rows = [f"{u + 1},{m + 1},{stars[u, m]},{m}" for u in range(users) for m in range(films)]
    return "userId,movieId,rating,timestamp\n" + "\n".join(rows) + "\n", stars


def _files(tmp_path, ratings=None, movies=MOVIES, tags=None):
    (tmp_path / "ratings.csv").write_text(_ratings()[0] if ratings is None else ratings)
    (tmp_path / "movies.csv").write_text(movies)
    if tags is not None:
        (tmp_path / "tags.csv").write_text(tags)
    return tmp_path / "ratings.csv", tmp_path / "movies.csv", None if tags is None else tmp_path / "tags.csv"


def test_pairs_follow_the_ratings_and_splits_share_no_film(tmp_path):
    text, stars = _ratings()
    table = convert_movielens(*_files(tmp_path, text), ConversionSettings(pairs_per_user=60, unseen_users=0.3)).table
    film = np.array([int(label.split()[0]) - 1 for label in table.items])
    person = np.array([int(name) - 1 for name in table.annotators])[table.annotator]
    better, worse = stars[person, film[table.chosen]], stars[person, film[table.rejected]]
    assert (better > worse).all()
    films = {
        split: {(i, j) for side in (table.chosen, table.rejected) for i, j in zip(
            table.annotator[table.rows_of(split)], side[table.rows_of(split)], strict=True)}
        for split in ("train", "test", "unseen")
    }  # fmt: skip
    assert films["train"]
    assert not films["train"] & films["test"]
    unseen = set(table.annotator[table.rows_of("unseen")])
    assert unseen
    assert not unseen & set(table.annotator[~table.rows_of("unseen")])
    keys = person * 10_000 + table.chosen * 100 + table.rejected
    assert len(np.unique(keys)) == len(keys)
    assert np.bincount(table.annotator).max() <= 60


def test_features_come_from_the_films_alone(tmp_path):
    tags = "userId,movieId,tag,timestamp\n" + "".join(
        f"{u},{m},{tag},0\n"
        for tag, users in (("Funny", (1, 2)), ("mine", (1, 1)))
        for m in (1, 2, 3, 4, 5, 6)
        for u in users
    )
    table = convert_movielens(*_files(tmp_path, tags=tags), ConversionSettings()).table
    assert table.feature_names == ("Comedy", "Drama", "War", "year (decades from 1990)", "year squared", "tag: funny")
    place = next(j for j, label in enumerate(table.items) if label.startswith("3 "))
    assert table.features[place].tolist() == pytest.approx([0, 1, 1, -3.7, 3.7**2, 1])


def test_gzip_is_read_as_it_is_and_the_seed_decides(tmp_path):
    ratings, movies, _ = _files(tmp_path)
    zipped = tmp_path / "r.csv.gz"
    zipped.write_bytes(gzip.compress(ratings.read_bytes()))
    runs = []
    for source, seed in ((ratings, 1), (zipped, 1), (ratings, 2)):
        out = tmp_path / f"{source.name}{seed}.parquet"
        options = [
            "movielens",
            "--ratings",
            str(source),
            "--movies",
            str(movies),
            "--out",
            str(out),
            "--seed",
            str(seed),
        ]
        result = CliRunner().invoke(command, [*options, "--json"])
        assert result.exit_code == 0
        assert json.loads(result.output)["pairs"]["train"] > 0
        runs.append(read_pairs(out))
    assert (runs[0].chosen == runs[1].chosen).all()
    assert len(runs[0]) != len(runs[2]) or (runs[0].chosen != runs[2].chosen).any()


def _films_of(table):
    """split -> {(annotator, film)} of the pairs."""
    film = np.array([int(label.split()[0]) for label in table.items])
    return {
        split: {
            (table.annotators[i], m)
            for side in (table.chosen, table.rejected)
            for i, m in zip(table.annotator[table.rows_of(split)], film[side[table.rows_of(split)]], strict=True)
        }
        for split in ("train", "test", "unseen")
    }


def test_no_rating_of_the_past_is_in_a_pair(tmp_path):
    """Changing every rating of films outside the pairs changes profiles and no pair; of films in them, no profile."""
    text, stars = _ratings()
    settings = ConversionSettings(history=0.5, pairs_per_user=4000, unseen_users=0.3)
    table = convert_movielens(*_files(tmp_path, text), settings).table
    used = set().union(*_films_of(table).values())
    for u in range(1, 13):
        # Twenty of forty films are left for pairs, and with so many pairs allowed nearly all of them are in one.
        assert 17 <= sum(str(u) == who for who, _ in used) <= 20
    past = stars.copy()
    now = stars.copy()
    for u in range(12):
        for m in range(40):
            if (str(u + 1), m + 1) in used:
                now[u, m] = 5.5 - stars[u, m]
            else:
                past[u, m] = 5.5 - stars[u, m]

    def again(changed):
        rows = [f"{u + 1},{m + 1},{changed[u, m]}" for u in range(12) for m in range(40)]
        return convert_movielens(*_files(tmp_path, "userId,movieId,rating\n" + "\n".join(rows)), settings).table

    other_past, other_pairs = again(past), again(now)
    assert (other_past.chosen == table.chosen).all()
    assert (other_past.rejected == table.rejected).all()
    assert other_past.annotator_feature_names == table.annotator_feature_names
    assert (other_past.annotator_features != table.annotator_features).any(axis=1).all()
    films = [set(zip(t.annotator, t.chosen, strict=True)) for t in (table, other_pairs)]
    assert films[0] != films[1]
    # A film rated as no other one of hers stands in no pair and may be of either half.
    same = (other_pairs.annotator_features == table.annotator_features).all(axis=1)
    assert same.sum() >= 8


def test_profile_by_hand(tmp_path):
    """One user of twelve films, four of them her past; shares, shrunken tastes and the slope over years."""
    stars = {m: [5, 1, 4, 2, 3, 0.5, 4.5, 3.5, 2.5, 1.5, 5, 1][m - 1] for m in range(1, 13)}
    text = "userId,movieId,rating\n" + "".join(f"1,{m},{s}\n" for m, s in stars.items())
    tags = "userId,movieId,tag\n" + "".join(f"{u},{m},Slow\n" for u in (1, 2) for m in range(1, 12))
    settings = ConversionSettings(history=1 / 3, unseen_users=0.0, pairs_per_user=4000, test_movies=0.05)
    table = convert_movielens(*_files(tmp_path, text, tags=tags), settings).table
    order = Stream(0, cell="movielens").at(replicate=0).child("history").permutation(12)[:4]
    past = np.sort(order) + 1
    named = dict(zip(table.annotator_feature_names, table.annotator_features[0], strict=True))
    rating = np.array([stars[m] for m in past])
    gap, odd = rating - rating.mean(), past % 2 == 1
    assert named["share: Drama"] == named["share: War"] == pytest.approx(odd.mean())
    assert named["share: Comedy"] == pytest.approx(1 - odd.mean())
    assert named["taste: Drama"] == pytest.approx(gap[odd].sum() / (odd.sum() + 5))
    slow = past < 12
    assert named["taste: tag: slow"] == pytest.approx(gap[slow].sum() / (slow.sum() + 5))
    decade = (1950 + past - 1990) / 10
    assert named["mean year (decades from 1990)"] == pytest.approx(decade.mean())
    spread = decade - decade.mean()
    assert named["taste: later films"] == pytest.approx((gap @ spread) / (spread @ spread + 5))
    assert not {int(label.split()[0]) for label in table.items} & set(past.tolist())


def test_history_as_typed(tmp_path):
    ratings, movies, _ = _files(tmp_path)
    words = ["movielens", "--ratings", str(ratings), "--movies", str(movies)]
    for ending in (".parquet", ".jsonl"):
        out = tmp_path / f"p{ending}"
        result = CliRunner().invoke(command, [*words, "--out", str(out), "--history", "0.5", "--json"])
        assert result.exit_code == 0, result.output
        answer, table = json.loads(result.output), read_pairs(out)
        assert answer["history"] == 0.5
        assert tuple(answer["annotator_features"]) == table.annotator_feature_names
        assert table.annotator_features.shape == (12, len(table.annotator_feature_names))
    plain = CliRunner().invoke(command, [*words, "--out", str(tmp_path / "plain.parquet"), "--json"])
    assert "history" not in json.loads(plain.output)
    assert read_pairs(tmp_path / "plain.parquet").annotator_features is None
    for wrong in ("nan", "0", "1", "half"):
        refused = CliRunner().invoke(command, [*words, "--out", str(tmp_path / "no.parquet"), "--history", wrong])
        assert refused.exit_code == 2
        assert "--history" in refused.output
    assert not (tmp_path / "no.parquet").exists()


def test_without_history_pairs_are_what_they_were(tmp_path):
    """The division of films draws from a stream of its own."""
    table = convert_movielens(*_files(tmp_path), ConversionSettings(pairs_per_user=10, seed=7)).table
    first = [(table.annotators[table.annotator[j]], table.items[table.chosen[j]].split()[0],
              table.items[table.rejected[j]].split()[0]) for j in range(4)]  # fmt: skip
    assert first == [("1", "4", "14"), ("1", "36", "14"), ("1", "1", "37"), ("1", "31", "3")]


def test_users_who_say_nothing_are_counted(tmp_path):
    equal = "userId,movieId,rating,timestamp\n" + "".join(f"1,{m},4.0,0\n2,{m},{m % 5 + 0.5},0\n" for m in range(1, 41))
    done = convert_movielens(*_files(tmp_path, equal), ConversionSettings(unseen_users=0.0))
    assert done.users_without_pairs == 1
    assert done.table.annotators == ("2",)


@pytest.mark.parametrize(
    ("ratings", "movies", "expected"),
    [
        ("userId,movieId,stars\n1,1,2\n", MOVIES, "field 'rating': the column is missing"),
        ("userId,movieId,rating\n1,1,good\n", MOVIES, "row 2, field 'rating': expected a number of stars, got 'good'"),
        ("userId,movieId,rating\n1,1\n", MOVIES, "row 2: expected 3 or more columns"),
        ("userId,movieId,rating\n1,999,3\n", MOVIES, "rated film 999"),
        ("userId,movieId,rating\n", MOVIES, "holds no ratings"),
        ("userId,movieId,rating\n1,1,3\n", "movieId,title,genres\n", "holds no films"),
        ("userId,movieId,rating\n1,1,3\n", MOVIES, "no user has two films with different ratings"),
    ],
)
def test_bad_files(tmp_path, ratings, movies, expected):
    with pytest.raises(InputError) as caught:
        convert_movielens(*_files(tmp_path, ratings, movies), ConversionSettings())
    assert expected in str(caught.value)


def test_cut_gzip_and_missing_file(tmp_path):
    ratings, movies, _ = _files(tmp_path)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(ratings.read_bytes())[:-30])
    for path, expected in ((cut, "the gzip file ends or breaks"), (tmp_path / "none.csv", "no such file")):
        with pytest.raises(InputError, match=expected):
            convert_movielens(path, movies, None, ConversionSettings())
    result = CliRunner().invoke(
        command, ["movielens", "--ratings", str(cut), "--movies", str(movies), "--out", str(tmp_path / "p.parquet")]
    )
    assert result.exit_code != 0
    assert not (tmp_path / "p.parquet").exists()


def test_a_profile_serves_real_people_who_have_not_answered():
    """Held-out films of known and of unseen users, from context alone; gains whose intervals exclude zero."""
    folder = real_file("movielens/ratings.csv.gz").parent
    table = convert_movielens(
        folder / "ratings.csv.gz",
        folder / "movies.csv.gz",
        folder / "tags.csv.gz",
        ConversionSettings(pairs_per_user=100, history=0.5),
    ).table
    summary = fit(table, FitSettings("low-rank", n_types=4)).as_json()
    gain = summary["against_pooled"]["low-rank"]
    assert gain["known_users"]["log_likelihood_interval"][0] > 0
    assert gain["unseen_users"]["log_likelihood_interval"][0] > 0
    assert summary["spectrum"]["above_null"] >= 3
    assert 2 <= summary["spectrum"]["carrying_nine_tenths"] <= 6


def test_em_beats_pooled_dpo_on_real_people():
    """Held-out films of known users; the interval of the gain in log-likelihood excludes zero."""
    folder = real_file("movielens/ratings.csv.gz").parent
    table = convert_movielens(
        folder / "ratings.csv.gz",
        folder / "movies.csv.gz",
        folder / "tags.csv.gz",
        ConversionSettings(pairs_per_user=100),
    ).table
    summary = fit(table, FitSettings(max_types=4, restarts=4)).as_json()
    gain = summary["differences"]["dpo"]["known_users"]
    assert summary["n_types"] > 1
    assert gain["log_likelihood_interval"][0] > 0
    assert summary["differences"]["dpo"]["unseen_users"]["log_likelihood"] > -0.002
    assert summary["few_shot"][-1]["gain_over_pooled_interval"][0] > 0


@pytest.mark.parametrize("form", ["plain", "gzip", "mark", "crlf", "quoted", "blank lines", "more columns"])
def test_ratings_by_columns_are_those_by_rows(tmp_path, form):
    text = _ratings()[0]
    if form == "crlf":
        text = text.replace("\n", "\r\n")
    if form == "quoted":
        text = text.replace("1,2,", '"1","2",', 1)
    if form == "blank lines":
        text = text.replace("\n", "\n\n", 3)
    if form == "more columns":
        text = "\n".join(f"{line},x" for line in text.splitlines())
    raw = text.encode()
    path = tmp_path / "ratings.csv"
    path.write_bytes(gzip.compress(raw) if form == "gzip" else b"\xef\xbb\xbf" + raw if form == "mark" else raw)
    films = {str(m) for m in range(1, 61)}
    one, other = movielens_files._ratings_by_columns(path, films), movielens_files._ratings_by_rows(path, films, path)
    assert one is not None
    for name in ("users", "films"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("user", "film", "stars"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "line", ["1,1,3.0,0", "1,99,3.0,0", "1,50,eleven,0", "1,50,11,0", "1,50,nan,0", "1,50", "1,50,", '1,50,3.0,"0']
)
def test_ratings_by_columns_accept_nothing_that_rows_refuse(tmp_path, line):
    path = tmp_path / "ratings.csv"
    path.write_text(_ratings()[0] + line + "\n")
    films = {str(m) for m in range(1, 61)}
    assert movielens_files._ratings_by_columns(path, films) is None
    with pytest.raises(InputError, match="row 482"):
        movielens_files.read_ratings(path, films, path)


def test_a_quote_lost_in_films_or_tags_swallows_no_rows(tmp_path):
    text = 'userId,movieId,tag\n1,1,"dark\n1,2,slow\n1,3,dark\n'
    path = tmp_path / "tags.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="row 2: is not CSV"):
        list(movielens_files.read_tags(path))
    path.write_text(text.replace('"dark', '"dark"'))
    assert len(list(movielens_files.read_tags(path))) == 3


def test_the_smallest_are_those_of_a_whole_sort():
    values = Stream(0, "smallest").integers(40, 500) / 7.0
    for most in (1, 3, 60, 249, 250, 499, 600):
        assert movielens._smallest(values, most).tolist() == np.argsort(values, kind="stable")[:most].tolist()
