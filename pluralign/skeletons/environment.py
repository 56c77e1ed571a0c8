"""A world of one's own: `environment: skeleton:ENVIRONMENT` in the settings or grid of a study of `types`, or
`pl.simulate("skeleton:ENVIRONMENT", ...)`.

This one: answers have a length and a warmth; one type wants them short, the other warm. Put yours in its place.
"""

import numpy as np


class ShortOrWarm:
    """Rows are answers: contexts (n, ...), types (n,), offered (n, J, ...). What contexts and responses are is this
    world's own affair; estimators see `shown` contexts and `features_of` responses alone."""

    n_types = 2
    taste = np.array([[-2.0, 0.3], [0.3, 2.0]])  # (n_types, d): reward of a response is <taste_z, features>

    def draw_contexts(self, n, stream):
        """n contexts: all that rewards depend on; here how formal a question is."""
        return stream.uniforms(n)

    def shown(self, contexts):
        """What an estimator sees of them."""
        return contexts

    def draw_offers(self, contexts, n_offered, stream):
        """Responses as this world offers them; (n, n_offered, ...). Formal questions get longer answers."""
        draws = stream.normals((len(contexts), n_offered, 2))
        draws[:, :, 0] += contexts[:, None]
        return draws

    def features_of(self, contexts, responses):
        """(n, J, d) features of (n, J, ...) responses."""
        return responses

    def preferred(self, contexts, types, offered):
        """P(the first of two responses is chosen) by an annotator of the type; (n,). Here Bradley-Terry."""
        reward = np.einsum("njd,nd->nj", self.features_of(contexts, offered), self.taste[types])
        return 1 / (1 + np.exp(reward[:, 1] - reward[:, 0]))


ENVIRONMENT = ShortOrWarm()
