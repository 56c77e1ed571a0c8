"""A base that two processes hold between them computes the bits of one that is whole, whatever its architecture."""

import json

import pytest

torch = pytest.importorskip("torch")

from places import ROOT  # noqa: E402
from several_processes import ended, launched  # noqa: E402
from tiny_architectures import CONFIGURATIONS, save_architecture  # noqa: E402

from llm.base.model_folder import open_model  # noqa: E402
from llm.base.sharding import decoder_layers  # noqa: E402
from sim.errors import InputError  # noqa: E402

# Transposed weights and views; experts; a language part.
UNLIKE = ("gpt2", "mixtral", "gemma3-images")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return {name: save_architecture(name, place / name) for name in CONFIGURATIONS}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_layers_are_found_whatever_they_are_called(folders, name):
    model = open_model(folders[name], torch.float32)
    layers = decoder_layers(model)
    assert len(layers) == model.config.get_text_config().num_hidden_layers
    assert len({type(layer) for layer in layers}) == 1


def test_lists_inside_layers_are_no_layers():
    """As experts are, where an architecture keeps them in a list."""

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(5))

    class Nested(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(2)])
            self.layers = torch.nn.ModuleList([Layer(), Layer()])

        def get_decoder(self):
            return self

    model = Nested()
    assert decoder_layers(model) == list(model.layers)


def test_a_decoder_without_layers_is_refused():
    class Flat(torch.nn.Linear):
        def get_decoder(self):
            return self

    with pytest.raises(InputError, match="no list of layers"):
        decoder_layers(Flat(2, 2))


@pytest.mark.slow
def test_scores_and_gradients_are_those_of_the_whole(folders, tmp_path):
    for name in UNLIKE:
        (tmp_path / name).symlink_to(folders[name])
    code, _, err = ended(launched(2, ROOT / "tests" / "support" / "spread_architectures.py", tmp_path))
    assert code == 0, err
    for rank in (0, 1):
        found = json.loads((tmp_path / f"spread-{rank}.json").read_text())
        assert len(found) == 2 * len(UNLIKE)
        for name, own in found.items():
            assert own["alike"], name
            assert own["moved"], name
            whole, share = own["held"]
            assert whole == 1.0
            assert 0.5 < share < 0.9, "the layers are halved, embeddings are not"
