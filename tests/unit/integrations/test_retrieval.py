from pathlib import Path
from typing import Any

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from octopus_graph import Expert, create_octopus_graph
from octopus_graph.testing import scripted_router
from octopus_graph_integrations.retrieval import LocalEmbeddings

WORDS = ["parcels", "travel", "for", "two", "days", "refunds", "take", "a", "week", "where", "is", "my", "parcel"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights: equal texts are near, others are somewhere."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model: Any = BertModel(config)
    model.save_pretrained(folder)
    return folder


def test_vectors_are_of_length_one_and_the_same_for_documents_and_queries(encoder: Path) -> None:
    embeddings = LocalEmbeddings(encoder)
    one, two = embeddings.embed_documents(["parcels travel", "refunds take a week"])
    assert embeddings.embed_query("parcels travel") == pytest.approx(one, abs=1e-5)
    assert sum(value * value for value in two) == pytest.approx(1, abs=1e-5)
    assert embeddings.embed_documents([]) == []


def test_a_retrieval_chain_is_an_expert(encoder: Path) -> None:
    store = InMemoryVectorStore.from_texts(
        ["parcels travel for two days", "refunds take a week"], LocalEmbeddings(encoder)
    )
    chain = store.as_retriever(search_kwargs={"k": 1}) | (lambda found: found[0].page_content)
    experts = [Expert("business", "What our rules say", chain)]
    graph: Any = create_octopus_graph(experts, scripted_router({"refunds": "business"})).compile()
    answer = graph.invoke({"messages": [("user", "refunds take a week")]})["messages"][-1].text
    assert answer == "refunds take a week"
