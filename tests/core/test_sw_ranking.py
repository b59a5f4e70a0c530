"""The batched refit of similarity-weighted ranking is the plain weighted Bradley-Terry fit."""

import numpy as np

from core.domain import UserId
from core.routers.sw_ranking import SWRankingRouter
from core.routers.vectors import query_vectors
from core.strengths import bradley_terry
from tests.planted import HashEncoder, two_camps


def test_one_request_is_a_weighted_bradley_terry_fit():
    train, validation, test = two_camps(users=6).split("query", (0.6, 0.2, 0.2))
    router = SWRankingRouter.fit(train, validation, HashEncoder())
    query = test.queries[test.query[0]]
    cosine = query_vectors(train.queries, HashEncoder()) @ query_vectors([query], HashEncoder())[0]
    largest = cosine[np.unique(train.query)].max()
    weight = 10 * 10 ** (router.exponent * cosine[train.query] / largest)  # RouteLLM's weights where the exponent is 1
    expected = bradley_terry(train.llm_a, train.llm_b, train.label, np.zeros(4), router.precision, weight).value
    log_p = np.log(router.predict_proba(UserId("anyone"), [query])[0])
    np.testing.assert_allclose(log_p - log_p.mean(), expected - expected.mean(), atol=1e-6)
